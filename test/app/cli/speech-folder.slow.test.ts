/** Tests commands on the folder of a speech model: comparison by transcripts, and the check in transformers.js on sounds. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { tone, writeSounds } from "../../sounds.ts";
import { temporaryFolder } from "../../temporary.ts";
import { speechToText } from "../../transformers-js/small-folders.ts";
import { json, pith } from "./run.ts";

const root = temporaryFolder();
const [folder, wavs] = [join(root, "speech"), join(root, "wavs")];
beforeAll(async () => {
  await speechToText(folder);
  writeSounds(
    wavs,
    [200, 900, 90, 500, 1300, 40, 700, 2000].map((pitch) => tone(0.9, pitch)),
  );
});

test("compares each model by transcripts of the user's sounds, and runs them in transformers.js", async () => {
  const { files, code, err } = await json(
    "quantize",
    folder,
    "--dtype",
    "fp16,q8",
    "--data",
    wavs,
    "-o",
    join(root, "a"),
  );
  const rows = Array.isArray(files) ? files : [];
  expect({ code, rows: rows.length, err }).toMatchObject({ rows: 4 });
  for (const row of rows.filter(({ dtype }) => dtype === "fp16"))
    expect(row).toMatchObject({
      verdict: "kept",
      nearness: { metric: "word error rate against the original", value: 0, samples: 86 },
      loader: { outcome: "runs", tokens: 64, same: 64 },
    });
});

test("compares tokens on noise without sounds of the user, and calls it weak evidence", async () => {
  const out = join(root, "b");
  const { code, out: text, err } = await pith("quantize", folder, "--dtype", "fp16", "-o", out);
  expect({ code, err }).toMatchObject({ code: 0 });
  expect(err).not.toContain("random inputs");
  expect(text).toContain("noise with the spectrum of speech, which is weak evidence");
  expect(readFileSync(join(out, "README.md"), "utf8")).toMatch(/\| 100\.0 % of 48 \([^)]*\) \| 100\.0 % of 16 \|/);
});

test("keeps layers at higher precision until the transcripts meet the goal", async () => {
  const words = ["quantize", folder, "--dtype", "q4", "--data", wavs, "--max-drop", "5%"];
  const { files } = await json(...words, "-o", join(root, "e"));
  const [decoder, encoder] = Array.isArray(files) ? files : [];
  expect(encoder).toMatchObject({ verdict: "kept", preciseLayers: [expect.stringContaining("project")] });
  expect(encoder.nearness.difference).toBeLessThanOrEqual(0.05);
  expect(decoder).toMatchObject({
    verdict: "rejected",
    reason: expect.stringMatching(
      / at higher precision word error rate against the original went from 0\.0 % to .* 5\.0 points allowed/,
    ),
  });
});

test("keeps for each model the smallest dtype within the word error rate that is allowed", async () => {
  const words = ["compress", folder, "--data", wavs, "--max-drop", "2%"];
  const { files, code, err } = await json(...words, "-o", join(root, "c"));
  expect({ code, err }).toMatchObject({ code: 0 });
  const rows = Array.isArray(files) ? files : [];
  const kept = rows.filter(({ verdict }) => verdict === "kept");
  expect(kept.length).toBeGreaterThan(0);
  // Dtypes of few bits are made first, and none after one that meets the goal.
  expect(rows.length).toBeLessThan(14);
  for (const { together, nearness } of kept)
    expect((together?.answers ?? nearness).difference).toBeLessThanOrEqual(0.02);
  await expect(
    pith("quantize", folder, "--dtype", "q8", "--data", join(folder, "config.json"), "-o", join(root, "d")),
  ).resolves.toMatchObject({ code: 1, err: expect.stringContaining("has no WAV files") });
});
