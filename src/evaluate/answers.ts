/** Which class a model names for each sample: from that follow agreement, chance, and where two models differ. */
import { samplesIn } from "../data/rows.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { elementCount } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";
import { bestClass, mainOutput, namesClasses, scoresFor } from "./output.ts";
import type { Metric } from "./types.ts";

/** By sample; −1 where there is none: no class, no label, or several of them. */
export interface Answers {
  readonly given: Float64Array;
  readonly labels: Float64Array;
}

/** Rows of (label, class named), for `measure` to collect beside the metric that counts. */
export function answers(output?: string): Metric {
  return {
    name: "answers",
    unit: "",
    better: "higher",
    columns: 2,
    rows(outputs, batch) {
      const samples = samplesIn(batch);
      const given = mainOutput(outputs, output);
      const scores =
        isOneEach(given, samples) && given.type !== "string" ? scoresFor(given, samples, samples) : undefined;
      const rows = new Float64Array(2 * samples);
      const labels = labelsOf(batch.label, samples);
      for (let sample = 0; sample < samples; sample++) {
        const named = scores === undefined ? -1 : bestClass(scores, sample);
        rows.set([labels?.[sample] ?? -1, named], 2 * sample);
      }
      return rows;
    },
    reduce: () => Number.NaN,
  };
}

/** 1 for each sample that both answer alike; undefined if the first names no classes. */
export function sameAnswers(original: Answers, other: Answers): Float64Array | undefined {
  if (original.given.every((named) => named < 0)) return undefined;
  return original.given.map((named, sample) => Number(named >= 0 && named === other.given[sample]));
}

/** One choice for each sample: among several classes, or named. */
function isOneEach(dense: Dense, samples: number): boolean {
  const [first, classes = 1, ...rest] = dense.dims;
  if (first !== samples || elementCount(rest) !== 1) return false;
  return classes > 1 ? !namesClasses(dense, samples) : namesClasses(dense, samples);
}

function labelsOf(label: Dense | undefined, samples: number): Float64Array | undefined {
  if (label === undefined || label.type === "string" || elementCount(label.dims) !== samples) return undefined;
  return toFloat64(label);
}
