/** Suggests an option for a mistyped name, or for a name that other tools use. */
import { nearest } from "../graph/nearest.ts";

/** Other tools' option names, in lower case without hyphens, and their names here. */
const elsewhere: ReadonlyMap<string, string> = new Map([
  ["lr", "learningRate"],
  ["wd", "weightDecay"],
  ["bs", "batch"],
  ["batchsize", "batch"],
  ["numepochs", "epochs"],
  ["gradientaccumulationsteps", "accumulate"],
  ["accumulationsteps", "accumulate"],
  ["gradclip", "clip"],
  ["maxgradnorm", "clip"],
  ["lrscheduler", "schedule"],
  ["scheduler", "schedule"],
  ["warmupsteps", "warmup"],
  ["earlystopping", "patience"],
  ["opt", "optimizer"],
  ["criterion", "loss"],
  ["ema", "average"],
  ["sparsity", "amount"],
  ["ratio", "amount"],
  ["nbits", "bits"],
  ["numbits", "bits"],
  ["exclude", "except"],
  ["ignore", "except"],
]);

/** Options that no longer exist, in the same form, and what to use instead. */
const removed: ReadonlyMap<string, string> = new Map([
  ["tune", "It was removed: set the learning rate, temperature and alpha."],
  ["joint", "It was removed: layers with the same input are factorized separately."],
  ["owntexts", "It was removed: the student learns from the texts of the data."],
]);

/**
 * Returns a hint for an unknown option. The intended name is found by spelling (`learning_rate`, `--learning-rate`), by another
 * tool's name (`lr`), or by edit distance.
 */
export function unknownOptionHint(typed: string, names: readonly string[]): string | undefined {
  const key = plain(typed);
  const name = optionMeant(typed, key, names);
  if (name === undefined) return removed.get(key);
  if (name === typed) return undefined;
  return `Did you mean ${typed.startsWith("--") ? name : `"${name}"`}?`;
}

function optionMeant(typed: string, key: string, names: readonly string[]): string | undefined {
  const spelled = names.find((name) => plain(name) === key);
  const known = plain(elsewhere.get(key) ?? "");
  return (
    spelled ?? names.find((name) => plain(name) === known) ?? (removed.has(key) ? undefined : nearest(typed, names))
  );
}

const plain = (name: string): string => name.replace(/[-_]/g, "").toLowerCase();
