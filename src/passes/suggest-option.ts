/** Which option was meant by a name that other tools use, or by a mistyped one. */
import { nearest } from "../graph/nearest.ts";

/** What other tools call an option, without hyphens and in lower case: the name that it has here. */
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

/**
 * The one of some names of options that was meant: that of another spelling (`learning_rate`, `--learning-rate`), the one that the field calls so
 * (`lr`), or the nearest by edits; undefined if there is none.
 */
export function optionMeant(typed: string, names: readonly string[]): string | undefined {
  const key = plain(typed);
  const spelled = names.find((name) => plain(name) === key);
  const known = plain(elsewhere.get(key) ?? "");
  return spelled ?? names.find((name) => plain(name) === known) ?? nearest(typed, names);
}

const plain = (name: string): string => name.replace(/[-_]/g, "").toLowerCase();
