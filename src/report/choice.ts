/** Why the result is the one that is kept, as sentences. */

import { isWithin } from "../evaluate/index.ts";
import { bytes, counted, difference, integer, times } from "../evaluate/numbers.ts";
import type { Run } from "./data.ts";
import { accuracySentence, chosenOf, goalSentence, speedOf, storageSentence, workAt } from "./verdict.ts";

/** The verdict: what is said of accuracy, goal and choice, or why nothing was kept. */
export function verdictSentences(run: Run): readonly string[] {
  if (run.refused !== undefined) return [run.refused.message];
  return [accuracySentence(run), goalSentence(run), choiceSentence(run), storageSentence(run)].filter(
    (text) => text !== undefined,
  );
}

/** Why the result is the one that is kept, and on which samples it was chosen; undefined where there was no choice. */
export function choiceSentence(run: Run): string | undefined {
  const measured = run.variants.filter(({ result }) => result !== undefined).length;
  if (chosenOf(run) === undefined) return undefined;
  const reason = reasonText(run);
  if (measured < 2 && run.search === undefined) return reason;
  if (run.search !== undefined) {
    const { points, samples, apart, isInterim } = run.search;
    const [tried, on] = [counted(points.length, "combination"), counted(samples, "sample")];
    const were = points.length === 1 ? "was" : "were";
    if (isInterim === true)
      return `This is the best so far of a search that is not over: ${tried} ${were} compared on ${on}, and it is not judged on other samples yet. The same command continues.`;
    const other = apart
      ? "other samples"
      : "the same samples, because they are fewer than 200 or a stream: its metric looks slightly better than it is";
    const searched = `${tried} ${were} compared on ${on}, and the best ${measured} on ${other}.`;
    return [reason, searched, lostSentence(run)].filter((text) => text !== undefined).join(" ");
  }
  const { validation } = run.data;
  const where =
    validation === undefined
      ? "the test samples themselves, because there are too few to hold out validation samples: its metric looks slightly better than it is."
      : `${integer(validation)} validation samples. These figures come from the test samples, which were not used to choose.`;
  const choice = `The result was chosen among ${measured} variants on ${where}`;
  return reason === undefined ? choice : `${reason} ${choice}`;
}

/** "int8 dynamic is smaller (292 kB), but takes 3.90 × the processor time." */
function reasonText(run: Run): string | undefined {
  const { choice, variants, goal } = run;
  if (choice === undefined) return undefined;
  const { by, place } = choice;
  const name = variants[place]?.name ?? "";
  const within = goal === undefined ? "that can be used" : "within the goal";
  if (by === "usual" && speedOf(run, place) === undefined && workAt(run, place) === undefined)
    return `${name} is the smallest variant ${within}; speed was not measured.`;
  switch (by) {
    case "only":
      return `${name} is the only variant ${within}.`;
    case "size":
      return `${name} is the smallest variant ${within}.`;
    case "usual":
    case "speed":
    case "download":
    case "target-size":
    case "faster":
      return `${name} is ${chosenText(by, run)}.${slowerText(run)}`;
    case "none allowed":
      return `No variant ${within} reaches the required speed; ${name} is the fastest.`;
    case "loss":
      return `No variant is within the goal on the ${run.data.validation === undefined ? "test" : "validation"} samples; ${name} lost least there.`;
    case "force":
      return `No variant is within the goal; ${name} is the smallest (--force).`;
  }
}

function chosenText(by: keyof typeof chosenFor, run: Run): string {
  if (by === "target-size" || by === "faster") return chosenFor[by];
  // A busy machine tells no speeds.
  const isByWork = by === "usual" && speedOf(run, run.choice?.place) === undefined;
  const reason = isByWork
    ? "the smallest variant that takes about as much processor time as the original"
    : chosenFor[by];
  return run.goal === undefined ? reason : `${reason}, within the goal`;
}

const chosenFor = {
  usual: "the smallest variant that is about as fast as the original",
  speed: "the fastest variant",
  download: "the smallest download",
  "target-size": "the most accurate of those tried that have that size",
  faster: "the most accurate of those tried that are so fast",
} as const;

/** " int8 weights is smaller (292 kB) and 0.43 × as fast: --for size keeps it." */
function slowerText(run: Run): string {
  const { over } = run.choice ?? {};
  const smaller = over === undefined ? undefined : run.variants[over];
  if (smaller?.result === undefined) return "";
  const [speed, work] = [speedOf(run, over)?.median, workAt(run, over)];
  const slower =
    speed === undefined ? `takes ${times(work ?? Number.NaN)} the processor time` : `${times(speed)} as fast`;
  return ` ${smaller.name} is smaller (${bytes(smaller.result.bytes)}) and ${slower}: --for size keeps it.`;
}

/** "int8 static; 4 bits are smaller and kept the goal in the search, but missed it on the other samples: −3.2 points, −4.0 points." */
function lostSentence({ variants, chosen, goal, search, metric: { unit } }: Run): string | undefined {
  const kept = variants[chosen ?? -1]?.result;
  if (kept === undefined || goal === undefined || search?.apart !== true) return undefined;
  const lost = variants.filter(({ name, result, verdict }) => {
    const { drop = Number.POSITIVE_INFINITY } = search.points.find((point) => point.name === name) ?? {};
    const isSmaller = result !== undefined && result.bytes < kept.bytes;
    return isSmaller && drop <= goal.maxDrop && verdict !== undefined && !isWithin(verdict.drop, goal);
  });
  if (lost.length === 0) return undefined;
  const drops = lost.map(({ comparison }) => difference(unit, comparison?.difference.value ?? Number.NaN));
  const names = lost.map(({ name }) => name).join("; ");
  return `${names} ${lost.length === 1 ? "is" : "are"} smaller and kept the goal in the search, but missed it on the other samples: ${drops.join(", ")}.`;
}
