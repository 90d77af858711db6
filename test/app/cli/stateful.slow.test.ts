/** Tests published models with states: calibration, evaluation and comparison by layer. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { shared } from "../../shared.ts";
import { temporaryFolder } from "../../temporary.ts";
import { json, pith } from "./run.ts";

const [dtln, silero, sound] = ["models/dtln_1.onnx", "models/silero_vad_16k_op15.onnx", "audio"].map(
  (name) => shared(`data/${name}`) ?? "",
) as [string, string, string];
const folder = temporaryFolder();
const samples = ["--samples", "150"];

test.skipIf(dtln === "" || sound === "")(
  "a noise filter is quantized statically, evaluated and compared by layer",
  async () => {
    const out = join(folder, "dtln.onnx");
    const quantizeReport = await json("quantize", dtln, "-o", out, "--scheme", "static", "--data", sound, ...samples);
    expect(quantizeReport).toMatchObject({ code: 0, comparison: { metric: "R²" } });
    const evalReport = await json("eval", out, "--original", dtln, "--data", sound, ...samples);
    expect(evalReport).toMatchObject({ code: 0, truth: "original" });
    const [figure] = evalReport.figures as { estimate: { value: number } }[];
    expect(figure?.estimate.value).toBeGreaterThan(0.99);
    const { layers } = await json("debug", dtln, out, "--data", sound, "--samples", "20");
    expect((layers as unknown[]).length).toBeGreaterThan(1);
  },
  300_000,
);

test.skipIf(silero === "" || sound === "")(
  "a voice detector loses too much in int8, and passes with the advised --except",
  async () => {
    const [fixed, out] = [join(folder, "silero.onnx"), join(folder, "int8.onnx")];
    expect((await pith("simplify", silero, "--set", "sr=16000", "-o", fixed)).code).toBe(0);
    const how = ["-o", out, "--scheme", "static", "--data", sound, "--preprocess", "frame=512 context=64"];
    const { code, err } = await pith("quantize", fixed, ...how, "--no-fallback");
    expect(err).toMatch(/E_ACCURACY_LOST: R² went from 1\.000 to 0\.9[4-7]/);
    expect(err).toMatch(/ layer "[^"]+".*\nhint: Skip that layer \(--except /);
    expect([code, existsSync(out)]).toEqual([1, false]);
    const kept = await pith("quantize", fixed, ...how, "--except", "*stft*,*encoder.0*");
    expect(kept).toMatchObject({ code: 0, err: expect.not.stringContaining("E_") });
    expect(kept.out).toMatch(/^R² +1\.0+ +0\.999\d/m);
    expect(kept.out).toMatch(
      /^outputs: signal to noise 2\d\.\d+ dB \(fair: an error of [\d.]+ %\) \("stateN", the worst of 2\), on 32 samples$/m,
    );
  },
  300_000,
);
