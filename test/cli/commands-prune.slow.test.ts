/** Checks that the next command that `pith prune` prints runs as printed. */
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

describe("prune", () => {
  const data = ["--data", at("points.csv")];

  test("prints the next step: training with masks, or recovery after structured pruning", async () => {
    const out = at("it's next.onnx");
    const words = ["prune", at("hidden.onnx"), "-o", out];
    const plain = await pith(...words, "--amount", "60%", "--force");
    expect(plain.out).toContain(" Training overwrites them: prune with --keep-masks before it.\n");
    expect(plain.out).not.toContain("next:");
    const masked = await pith(...words, "--amount", "60%", "--force", "--keep-masks");
    expect(masked.out).not.toContain("Training overwrites");
    expect(masked.out).toMatch(/\nnext: pith train '.*next\.onnx' --data SAMPLES {2}# the zeros stay\n$/);
    const cut = await pith(...words, "--structured", "50%", "--force");
    const kept = await pith(...words, "--structured", "50%", "--force", ...data);
    expect(kept.out).toMatch(/^Measured loss: .* (The goal is met|The estimate meets the goal)/m);
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
    expect(cut.out).toMatch(/^time, 1 thread( +[\d.]+ ms){2} +about .*as fast$/m);
    for (const { out } of [plain, masked]) expect(out).not.toMatch(/^(time|speed)/m);
    const other = await pith("quantize", at("hidden.onnx"), "--scheme", "weights", "--force", "-o", out);
    expect(other.out).toMatch(/\nwritten: .*\n$/);
    // Training without masks warns that the zeros are lost, as the note states.
    await pith(...words, "--amount", "60%", "--force");
    const tuned = await pith("train", out, ...data, "--epochs", "1", "-o", at("tuned.onnx"));
    expect(tuned.err).toMatch(/unmasked-zeros: \d.* exact zeros without a mask, .*--keep-masks/);
  });
});
