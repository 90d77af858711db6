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

/** Returns the intended option: by spelling (`learning_rate`, `--learning-rate`), by another tool's name (`lr`), or by edit distance. */
export function optionMeant(typed: string, names: readonly string[]): string | undefined {
  const key = plain(typed);
  const spelled = names.find((name) => plain(name) === key);
  const known = plain(elsewhere.get(key) ?? "");
  return spelled ?? names.find((name) => plain(name) === known) ?? nearest(typed, names);
}

const plain = (name: string): string => name.replace(/[-_]/g, "").toLowerCase();
