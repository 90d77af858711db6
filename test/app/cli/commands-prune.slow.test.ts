/** Checks that the next command that `pith prune` prints runs as printed. */
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { json, pith } from "./run.ts";
import { float, numbers, smallModels } from "./small-models.ts";

const { at } = smallModels();

describe("prune", () => {
  const data = ["--data", at("points.csv")];

  test("prints the next step: training with masks, or recovery after structured pruning", async () => {
    const out = at("it's next.onnx");
    const words = ["prune", at("hidden.onnx"), "-o", out];
    const plain = await pith(...words, "--amount", "60%", "--force");
    expect(plain.out).toContain(" pith train changes the zeros, unless you prune with --keep-masks.\n");
    expect(plain.out).toMatch(/\nnext: pith debug .*hidden\.onnx .*next\.onnx.*\n$/);
    const masked = await pith(...words, "--amount", "60%", "--force", "--keep-masks");
    expect(masked.out).not.toContain("changes the zeros");
    expect(masked.out).toMatch(/\nnext: pith train '.*next\.onnx' --data SAMPLES {2}# the zeros stay\n$/);
    const cut = await pith(...words, "--structured", "50%", "--force");
    const kept = await pith(...words, "--structured", "50%", "--force", ...data);
    expect(kept.out).toMatch(/^change: .* (The goal is met|The estimate meets the goal)/m);
    expect(kept.out).toMatch(/^next: pith recover .* --data '?.*points\.csv'? .*# labels are not needed$/m);
    // The printed command runs if it gets samples.
    const lines = cut.out.match(/(?<=^next: pith ).*$/gm) ?? [];
    expect(lines).toHaveLength(1);
    for (const printed of lines) {
      const line = printed.replace("SAMPLES", `'${at("points.csv")}'`);
      const { stdout } = spawnSync("sh", ["-c", `printf '%s\\n' ${line}`], { encoding: "utf8" });
      expect(await pith(...stdout.trim().split("\n"), "--force")).toMatchObject({ code: 0 });
    }
    // A result with the same operators and sizes of weights is not timed.
    expect(cut.out).toMatch(/^time, 1 thread( +[\d.]+ ms){2} +(about as fast|[\d.–]+ × as fast( \(.*\))?)$/m);
    for (const { out } of [plain, masked]) expect(out).not.toMatch(/^(time|speed)/m);
    const other = await pith("quantize", at("hidden.onnx"), "--scheme", "weights", "--force", "-o", out);
    expect(other.out).toMatch(/\nwritten: .*\nchange: accuracy was not measured \(add --data\)\nnext: pith eval .*\n$/);
    // Training without masks warns that the zeros are lost, as the note states.
    await pith(...words, "--amount", "60%", "--force");
    const tuned = await pith("train", out, ...data, "--epochs", "1", "-o", at("tuned.onnx"));
    expect(tuned.err).toMatch(/unmasked-zeros: \d.* exact zeros without a mask, .*--keep-masks/);
  });
});

describe("prune", () => {
  const data = ["--data", at("points.csv")];

  test("keeps masks with --keep-masks, and training keeps masked weights at zero", async () => {
    const masked = at("masked.onnx");
    await json("prune", at("near.onnx"), "--amount", "50%", "--keep-masks", "-o", masked);
    expect(await json("inspect", masked)).toMatchObject({ operators: { Mul: 1 }, roles: { mask: 1 } });
    const tuned = at("tuned.onnx");
    const words = ["--epochs", "10", "--batch", "16", "--learning-rate", "0.05"];
    const { comparison } = await json("train", masked, ...data, ...words, "-o", tuned);
    const { original, candidate } = comparison as Record<string, { value: number }>;
    expect(candidate?.value).toBeGreaterThan(original?.value ?? 1);
    const [before, after] = [await numbers(masked, "--weights"), await numbers(tuned, "--weights")];
    expect(before).toMatchObject([{ name: "fc", zeros: 0.5 }]);
    expect(after).toMatchObject([{ name: "fc", zeros: 0.5 }]);
    expect(after[0]?.greatest).not.toBe(before[0]?.greatest);
    // The command prints the next step until the masks are folded in.
    const { out } = await pith("train", masked, ...data, ...words, "-o", tuned);
    expect(out).toMatch(
      /\nnext: pith simplify .*tuned\.onnx --finalize {2}# folds in the masks, which double the file until then\n$/,
    );
    expect((await pith("simplify", tuned, "--finalize", "-o", at("final.onnx"))).code).toBe(0);
    expect((await pith("train", at("final.onnx"), ...data, ...words, "-o", tuned)).out).not.toContain("--finalize");
  });

  test("suggests recovery for float weights, and warns if weights were quantized before", async () => {
    await save(parseModel(float), at("float.onnx"));
    await pith("quantize", at("float.onnx"), "--scheme", "dynamic", "--force", "-o", at("codes.onnx"));
    for (const [name, trains] of [
      ["float", true],
      ["codes", false],
    ] as const) {
      const words = ["--structured", "50%", "--force", "-o", at("thin.onnx")];
      const { out, err } = await pith("prune", at(`${name}.onnx`), ...words);
      expect(/\nnext: pith recover .*thin\.onnx/.test(out)).toBe(trains);
      expect(err.includes("recover it, and quantize last")).toBe(!trains);
    }
  });

  test("prints the share of zeros, also with masks, but not for dense weights", async () => {
    const dense = `opset 21
graph (features: float32[batch, 20]) -> (logits: float32[batch, 10]) {
  fc.weight: float32[10, 20] parameter = random(seed 1)
  logits = Gemm "fc" (features, fc.weight) {transB=1}
}
`;
    await save(parseModel(dense), at("dense.onnx"));
    for (const masks of [[], ["--keep-masks"]]) {
      const words = ["prune", at("dense.onnx"), "--amount", "90%", "--force", ...masks, "-o", at("sparse.onnx")];
      expect(await json(...words)).toMatchObject({ before: { zeros: 0 }, after: { zeros: 0.9 } });
      expect((await pith(...words)).out).toMatch(/\nparameters +200 +200 .*\nzeros +0\.0 % +90\.0 %\n/);
      expect((await pith("inspect", at("sparse.onnx"), "--weights")).out).toContain("200 parameters (90.0 % zeros);");
      expect(await json("inspect", at("sparse.onnx"), "--weights")).toMatchObject({ zeros: 0.9 });
    }
    const quantized = await pith(
      "quantize",
      at("dense.onnx"),
      "--scheme",
      "weights",
      "--force",
      "-o",
      at("codes.onnx"),
    );
    expect(quantized.out).toContain("parameters");
    expect(quantized.out).not.toContain("zeros");
    const half = await pith("prune", at("dense.onnx"), "--amount", "0.5%", "--force", "-o", at("nearly.onnx"));
    expect(half.out).toContain("parameters");
    expect(half.out).not.toMatch(/\nzeros/);
  });
});
