/** Compares the range methods (`--ranges`) of the static scheme, calibrated on 100 samples, by accuracy and KL divergence on other samples. */
import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import { compareRows, evaluate } from "../../src/judge/index.ts";
import { meanKl } from "../../src/runtime/metrics/comparison-metrics.ts";
import { evaluateAll } from "../../src/runtime/metrics/evaluate.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { rangeMethods } from "../../src/techniques/quantize/options.ts";
import { line, table } from "../lib/print.ts";
import { openSamples } from "../quantize/samples.ts";
import { calibrating } from "../quantize/static.ts";
import type { FormatsTable } from "./table.ts";

const names = ["resnet20", "squeezenet", "mobilenetv2", "bert_sst2"] as const;

export const ranges: FormatsTable = {
  title: "Static int8: methods of ranges",
  async run(settings) {
    for (const name of names) {
      if (settings.models !== undefined && !settings.models.includes(name)) continue;
      const samples = await openSamples(name, settings.folder);
      if (samples === undefined) throw new Error(`${name}, or its data, is not in the shared folder.`);
      const { path, metric } = samples;
      const { calibrate, test } = samples.draw(calibrating, 0);
      const original = await open(path);
      const engine = createEngine();
      const float = await evaluate(engine, original, test, metric);
      const rows: string[][] = [];
      for (const method of rangeMethods) {
        const candidate = await open(path);
        const started = performance.now();
        await quantize(candidate, { scheme: "static", ranges: method, data: calibrate, samples: calibrating });
        const seconds = (performance.now() - started) / 1000;
        const [metricResult, divergence] = await evaluateAll(engine, candidate, test, [metric, meanKl()], { original });
        const { candidate: figure, difference } = compareRows(metric, float.rows, metricResult?.rows ?? float.rows);
        const percent = (share: number): string => (100 * share).toFixed(1);
        rows.push([
          method,
          percent(figure.value),
          percent(difference.value),
          `${percent(difference.low)} … ${percent(difference.high)}`,
          divergence?.estimate.value.toPrecision(2) ?? "",
          seconds.toFixed(1),
        ]);
      }
      line(`\n${name}: ${samples.preprocessing}; float32 ${(100 * float.estimate.value).toFixed(1)} %`);
      table(["ranges", ">%", ">change", "interval", ">KL", ">s"], rows);
    }
  },
};
