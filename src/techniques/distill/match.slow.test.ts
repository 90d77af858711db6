/** Tests that every distillation loss finds the values to compare, in transformers and in convolutional networks. */
import { describe, expect, test } from "vitest";
import {
  expectEveryNumberOfLayers,
  expectInConvolutions,
  expectInTransformers,
  norms,
  texts,
  transformer,
} from "../../../test/distill/networks.ts";
import { shared } from "../../../test/shared.ts";
import { open } from "../../core/onnx/index.ts";
import { int64 } from "../../core/tensor/dense.ts";
import { imitations } from "./distillation.ts";

describe("every loss finds its values", () => {
  const ofTokens = ["fitnets", "hidden-mse"];

  test.each(imitations.map(({ name }) => name))("in transformers: %s", expectInTransformers);

  test.each(imitations.map(({ name }) => name).filter((name) => !ofTokens.slice(1).includes(name)))(
    "in convolutional networks: %s",
    expectInConvolutions,
  );

  test("and ignores tokens that the mask excludes", async () => {
    const [student, teacher] = [transformer(2, 8, 2), transformer(4, 8, 2, 5)];
    const batch = texts(4, 5);
    const other = {
      ...batch,
      input_ids: int64(
        [4, 5],
        batch.input_ids.data.map((id, index) => (batch.attention_mask.data[index] === 0n ? 19n - id : id)),
      ),
    };
    const [first, second] = [
      await norms("hidden-mse", student, teacher, batch),
      await norms("hidden-mse", student, teacher, other),
    ];
    expect(second.value).toBeCloseTo(first.value, 6);
  });
});

const zoo = [
  "hf_bert",
  "hf_distilbert_op17",
  "hf_t5_encoder",
  "torch_encoder",
  "hf_gpt2",
  "hf_llama_gqa",
  "llama_op13",
];
const files = [
  ...[...zoo, "vit", "mixer"].map((name) => `zoo/${name}.onnx`),
  ...["bert_sst2/onnx/model", "llama260k", "cct_cifar10", "vww_mobilenetv1_025"].map((name) => `models/${name}.onnx`),
].flatMap((name) => shared(`data/${name}`) ?? []);

test.each(files)("%s: pairs outputs of whole layers for every number of kept layers", async (file) => {
  await expectEveryNumberOfLayers(await open(file));
});
