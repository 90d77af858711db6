/** Experiment "detector": compares the boxes of a face detector in static int8 and in float32, on photos that were not used for calibration. */

import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import { isIndexed } from "../../src/data/batches/indexed.ts";
import { setAside } from "../../src/data/batches/select.ts";
import { take } from "../../src/data/index.ts";
import { estimate, measure } from "../../src/judge/index.ts";
import { openTask } from "../../src/judge/task/index.ts";
import { boxOverlap } from "../../src/runtime/metrics/box-outputs.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { shared } from "../../test/shared.ts";
import { heading, line, share, table, target } from "../lib/print.ts";
import { calibrating, type Settings } from "./static.ts";

const least = 0.9;
const preprocess = "scale=1 mean=127 std=128 resize=240x320";

export async function detector({ smoke, draws }: Settings): Promise<boolean> {
  heading(`Faces, static int8, calibrated on ${calibrating} photos`, 0);
  const [path, data] = [shared("data/models/ultraface_slim320.onnx"), shared("data/images/imagenet")];
  if (path === undefined || data === undefined) {
    line("  not measured: the shared folder (../shared, or PITH_SHARED) does not have it");
    return true;
  }
  const original = await open(path);
  const { test } = await openTask(original, { data, preprocess, part: "all", metric: "box-overlap" });
  if (!isIndexed(test)) throw new Error("The photos are a stream.");
  const metric = boxOverlap();
  const overlaps: number[] = [];
  const rows: string[][] = [];
  for (let draw = 0; draw < draws; draw++) {
    const { drawn, rest } = setAside(test, calibrating, draw);
    const cells = [`${draw}`];
    for (const bits of [undefined, 8] as const) {
      const model = await open(path);
      await quantize(model, {
        scheme: "static",
        ...(bits === undefined ? {} : { bits }),
        data: drawn,
        samples: calibrating,
      });
      const [, [scores = new Float64Array()] = []] = await measure(
        createEngine(),
        [original, model],
        smoke ? take(rest, 50) : rest,
        [metric],
      );
      const overlap = estimate(metric, scores);
      if (bits === undefined) overlaps.push(overlap.value);
      cells.push(share(overlap, 1));
    }
    rows.push(cells);
  }
  table(["draw", ">box overlap (95 %)", ">8 bits"], rows);
  if (smoke) return true;
  const mean = overlaps.reduce((sum, value) => sum + value, 0) / overlaps.length;
  line(`  ${target(`${(100 * mean).toFixed(1)} % in the mean, ${100 * least} at least`, mean >= least, true)}`);
  return mean >= least;
}
