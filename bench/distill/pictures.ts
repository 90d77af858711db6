/**
 * The teacher is ResNet-56 (He et al. 2016), trained on all 50,000 training images of CIFAR-10. The student has the size of ResNet-8 and is trained on
 * 15,000 of the images. Another 5,000 are new to the student, but not to the teacher; the 1,000 test images are new to both.
 */
import { open } from "pith";
import { openDataset, preprocess, presets, split, take, view } from "pith/data";
import { distillation } from "pith/distill";
import { accuracy, evaluate } from "pith/evaluate";
import type { IndexedDataset } from "../../src/data/batches/dataset.ts";
import { shared } from "../../test/shared.ts";
import { resnet } from "../learn/resnet20.ts";
import { oneCycle } from "../lib/one-cycle.ts";
import { figureOf, line } from "../lib/print.ts";
import { engine, type Settings, seedsOf } from "./kept.ts";
import { compared, isGained } from "./paired.ts";

export async function pictures(settings: Settings): Promise<boolean> {
  const { smoke, threads } = settings;
  line("cifar: resnet56 and a ResNet-8 on 15,000 images of CIFAR-10");
  const [folder, file] = [shared("data/cifar10"), shared("data/models/resnet56.onnx")];
  if (folder === undefined || file === undefined) {
    line("  skipped: CIFAR-10 or resnet56 is not at hand");
    return true;
  }
  const ready = async (part: "train" | "test"): Promise<IndexedDataset> => {
    const input = { name: "input", type: { type: "float32", dims: [1, 3, 32, 32] } } as const;
    return preprocess((await openDataset(folder, { part })) as IndexedDataset, input, presets.imagenet);
  };
  const [all, test] = [await ready("train"), await ready("test")];
  const positions = (from: number, to: number): Uint32Array =>
    Uint32Array.from({ length: to - from }, (_, at) => from + at);
  const train = smoke ? take(all, 512) : take(all, 15_000);
  const unseenByStudent = view(all, `${all.name}, the last 5,000`, positions(smoke ? 19_744 : 15_000, 20_000));
  const [fit = train, choiceSamples = train] = split(train, [0.8, 0.2], 1);
  const teacher = await open(file);
  const metric = accuracy();
  const tests = { "5,000 images": unseenByStudent, "1,000 test images": smoke ? take(test, 256) : test };
  for (const [name, samples] of Object.entries(tests)) {
    const evaluation = await evaluate(engine, teacher, samples, metric, { batch: 100, threads });
    line(`  teacher, ${name}: ${figureOf(evaluation, metric)}`);
  }
  const epochs = smoke ? 1 : 15;
  const rowsPerTest = await compared(settings, {
    name: "cifar",
    metric,
    seeds: seedsOf(settings),
    rates: smoke ? [0.2] : [0.05, 0.2],
    training: {
      ...{ epochs, batch: 128, optimizer: "sgd", weightDecay: 0.0005 },
      ...{ schedule: oneCycle, augment: "crop=4 flip" },
    },
    data: train,
    choice: { data: fit, test: choiceSamples, training: { epochs: smoke ? 1 : 6 } },
    tests,
    student: (seed) => resnet(1, seed + 100),
    arms: () => Promise.resolve([{ name: "alone" }, { name: "distilled", loss: distillation({ teacher }) }]),
  });
  let gained = true;
  for (const [name, rows] of Object.entries(rowsPerTest)) {
    line(`  on ${name}`);
    gained = isGained(rows) && gained;
  }
  return gained;
}
