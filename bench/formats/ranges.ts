/** What each method of ranges (`--ranges`) costs in the static scheme, calibrated on 100 samples: accuracy and KL divergence on others. */
import { take } from "../../src/data/index.ts";
import { createEngine } from "../../src/engine/index.ts";
import { compareRows, evaluate, evaluateAll, meanKl } from "../../src/evaluate/index.ts";
import { open } from "../../src/onnx/index.ts";
import { quantize } from "../../src/quantize/index.ts";
import { rangeMethods } from "../../src/quantize/options.ts";
import { openTask } from "../../src/task/index.ts";
import { line, table } from "../lib/print.ts";
import { calibrate, models } from "./static-latency.ts";
import { type FormatsTable, needed } from "./table.ts";

export const ranges: FormatsTable = {
  title: "Static int8: methods of ranges",
  async run(settings) {
    for (const [name, { model, data, preprocess, samples }] of Object.entries(models)) {
      if (settings.models !== undefined && !settings.models.includes(name)) continue;
      const path = needed(`data/models/${model}`);
      const original = await open(path);
      const given = { data: needed(`data/${data}`), calibrate, ...(preprocess === undefined ? {} : { preprocess }) };
      const task = await openTask(original, given);
      const test = take(task.test, samples);
      const engine = createEngine();
      const float = await evaluate(engine, original, test, task.metric);
      const rows: string[][] = [];
      for (const method of rangeMethods) {
        const candidate = await open(path);
        const started = performance.now();
        await quantize(candidate, { scheme: "static", ranges: method, data: task.calibrate, samples: calibrate });
        const seconds = (performance.now() - started) / 1000;
        const [right, apart] = await evaluateAll(engine, candidate, test, [task.metric, meanKl()], { original });
        const { candidate: own, difference } = compareRows(task.metric, float.rows, right?.rows ?? float.rows);
        const percent = (share: number): string => (100 * share).toFixed(1);
        rows.push([
          method,
          percent(own.value),
          percent(difference.value),
          `${percent(difference.low)} … ${percent(difference.high)}`,
          apart?.estimate.value.toPrecision(2) ?? "",
          seconds.toFixed(1),
        ]);
      }
      line(`\n${name}: ${task.preprocessing}; float32 ${(100 * float.estimate.value).toFixed(1)} %`);
      table(["ranges", ">%", ">change", "interval", ">KL", ">s"], rows);
    }
  },
};
