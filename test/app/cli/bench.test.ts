/** Tests `pith bench` on targets other than Node. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type benchJob from "../../../src/app/cli/jobs/bench.ts";
import { samplesPerRun } from "../../../src/app/cli/jobs/bench.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import type { Job } from "../../../src/runtime/job/job.ts";
import type { RunJobOptions } from "../../../src/runtime/job/run.ts";
import { cachedDecoder } from "../../language-model.ts";
import { pith, run, runJob } from "./run.ts";
import { net, timedNetwork } from "./timed-network.ts";

const { folder } = timedNetwork();

test("times a language model on text that it generates, unless sizes are given", async () => {
  const path = join(folder, "decoder.onnx");
  await save(cachedDecoder(), path);
  const inputsOf = async (...words: string[]) => {
    const { code, out, err } = await pith("bench", path, "--rounds", "1", ...words, "--json");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const { inputs, source } = JSON.parse(out);
    return { source, ...inputs[path] };
  };
  expect(await inputsOf()).toEqual({
    source: "text that the model generated",
    input_ids: "int64[1, 64]",
    "past_key_values.0.key": "float32[1, 0, 8]",
  });
  expect(await inputsOf("--dim", "seq=5")).toMatchObject({ source: undefined, input_ids: "int64[1, 5]" });
});

test("uses 128 tokens by default, or the tokenizer's maximum, and prints the sizes", async () => {
  const text = `opset 21
graph (input_ids: int64[batch, sequence]) -> (logits: float32[batch, sequence, 4]) {
  table: float32[10, 4] = random(seed 1)
  logits = Gather(table, input_ids)
}
`;
  const at = join(folder, "text");
  mkdirSync(at);
  const path = join(at, "model.onnx");
  await save(parseModel(text), path);
  const words = ["--rounds", "2", "--threads", "1"];
  expect((await pith("bench", path, ...words)).out).toContain(
    "\nInputs: input_ids int64[1, 128]. --dim sets named sizes.\n",
  );
  expect((await pith("bench", path, ...words, "--dim", "sequence=7")).out).toContain("input_ids int64[1, 7]");
  const vocab = { "[UNK]": 0, good: 1, "[PAD]": 2 };
  const parts = { pre_tokenizer: { type: "Whitespace" }, normalizer: null, post_processor: null, decoder: null };
  const tokenizer = { added_tokens: [], ...parts, model: { type: "WordLevel", vocab, unk_token: "[UNK]" } };
  writeFileSync(join(at, "tokenizer.json"), JSON.stringify(tokenizer));
  writeFileSync(join(at, "tokenizer_config.json"), JSON.stringify({ pad_token: "[PAD]", model_max_length: 77 }));
  expect((await pith("bench", path, ...words)).out).toContain("input_ids int64[1, 77]");
});

test("--set sets an input, and an unknown input is rejected with the names of all", async () => {
  const path = join(folder, "depth.onnx");
  const text = `opset 21
graph (ids: int64[1, 4], depth: int64[]) -> (y) {
  v: float32[2] = [0, 1]
  y = OneHot(ids, depth, v)
}
`;
  await save(parseModel(text), path);
  const words = ["bench", path, "--rounds", "2", "--threads", "1"];
  const never = await pith(...words, "--set", "depth=-1");
  expect(never.code).toBe(1);
  expect(never.err).toMatch(/^E_ENGINE: .*depth/i);
  const set = await pith(...words, "--set", "depth=5");
  expect(set.code).toBe(0);
  expect(set.out).toContain("depth int64[] = 5");
  const strange = await pith(...words, "--set", "deep=5");
  expect(strange.err).toMatch(/^E_NAME: The model has no input "deep" to set\.\n.*Inputs: ids, depth\.\n$/);
});

test("samplesPerRun returns the free first dimension that all inputs share", () => {
  const inputs = (text: string) => parseModel(`opset 21\ngraph (${text}) -> (y) {\n  y = Identity(x)\n}\n`);
  expect(samplesPerRun(net, ["batch=8"])).toBe(8);
  expect(samplesPerRun(net, [])).toBe(1);
  expect(samplesPerRun(inputs("x: float32[N, 3], m: int64[N, length]"), ["N=2", "length=5"])).toBe(2);
  expect(samplesPerRun(inputs("x: float32[N, 3], m: int64[length]"), ["N=2", "length=5"])).toBe(1);
  expect(samplesPerRun(inputs("x: float32[49, 10]"), [])).toBe(1);
});

test("prints no speed on a busy machine, and advises to run the command again", async () => {
  const path = join(folder, "a b.onnx");
  await save(net, path);
  async function busy<J extends Job>(
    module: URL,
    input: Parameters<J>[0],
    options?: RunJobOptions,
  ): Promise<Awaited<ReturnType<J>>> {
    const result = await runJob<J>(module, input, options);
    if (module.pathname.endsWith("/bench.js"))
      Object.assign((result as Awaited<ReturnType<typeof benchJob>>).latency, { unsteady: true });
    return result;
  }
  const words = ["bench", path, "--dim", "batch=4", "--rounds", "2", "--threads", "1"];
  const { out } = await run(words, { runJob: busy });
  expect(out).toContain(" too busy to measure speed: ");
  expect(out).toContain("When it is idle, run this command again.\n");
  const [titles = "", cells = ""] = out.split("\n");
  const [perSecond, speed] = ["per second", "speed"].map((title) => titles.indexOf(title) + title.length - 1);
  expect([cells[perSecond ?? 0], cells[speed ?? 0]]).toEqual(["–", "–"]);
});
