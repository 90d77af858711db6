/** Suggests an option for a mistyped name, or for a name from another tool. */
import { allNearest, nearest } from "../graph/nearest.ts";

/** Option names of other tools or other commands, in lower case without hyphens, with the equivalent Pith options. */
const synonyms: ReadonlyMap<string, string> = new Map([
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
  ["multiple", "roundTo"],
  ["original", "against"],
  ["against", "original"],
]);

/**
 * Removed options, in lower case without hyphens. `beside` is an option that only the commands with the removed option have; `advice` is the hint.
 */
const removedOptions: ReadonlyMap<string, readonly [beside: string, advice: string]> = new Map([
  ["tune", ["alpha", "It was removed: set the learning rate, temperature and alpha."]],
  ["joint", ["rank", "It was removed: layers with the same input are factorized separately."]],
  ["multiple", ["rank", "It was removed: set the rank, or a budget that decides the ranks."]],
  ["ratio", ["method", 'It was removed: set a budget for the model, or for each layer (--override "*:budget=0.5").']],
  ["energy", ["method", "It was removed: set a budget or a rank. Without either, layers keep 95 % of their energy."]],
  ["allocation", ["method", "It was removed: a budget is spread by singular values."]],
  [
    "symmetric",
    ["biasCorrection", "It was removed: the scheme decides, and static ranges have a zero point, which loses less."],
  ],
  [
    "integerform",
    [
      "biasCorrection",
      "It was removed: static int8 is in the QDQ format, and runtimes fuse its nodes to integer operators.",
    ],
  ],
  ["arithmetic", ["dtype", 'It was removed: the dtype "fp16" computes in float16, also for GPUs (--dtype fp16).']],
  ["owntexts", ["alpha", "It was removed: the student learns from the texts of the data."]],
  ["student", ["alpha", "It was removed: name the student as the argument of distill."]],
  ["nesterov", ["momentum", "It was removed: sgd has plain momentum."]],
  ["rates", ["momentum", "It was removed: `except` freezes layers, and `layers` trains only these."]],
  ["frozencache", ["momentum", "It was removed: outputs of frozen parts are cached if that saves time."]],
]);

/** Returns a question that suggests the most similar accepted words; undefined if none is similar. */
export function didYouMean(typed: string, words: readonly string[]): string | undefined {
  const similar = allNearest(typed, words).filter((word) => word !== typed);
  return similar.length === 0 ? undefined : `Did you mean ${similar.map((word) => `"${word}"`).join(" or ")}?`;
}

/**
 * Returns a hint for an unknown option. The intended option is found by another spelling (`learning_rate`,
 * `--learning-rate`), by another tool's name (`lr`), or by edit distance.
 */
export function unknownOptionHint(typed: string, names: readonly string[]): string | undefined {
  const key = normalize(typed);
  const optionEqualTo = (meant: string | undefined) => names.find((name) => normalize(name) === normalize(meant ?? ""));
  const [beside, advice] = removedOptions.get(key) ?? [];
  const synonym = optionEqualTo(key) ?? optionEqualTo(synonyms.get(key));
  if (synonym === undefined && optionEqualTo(beside) !== undefined) return advice;
  const name = synonym ?? nearest(typed, names);
  return name === undefined || name === typed
    ? undefined
    : `Did you mean ${typed.startsWith("--") ? name : `"${name}"`}?`;
}

const normalize = (name: string): string => name.replace(/[-_]/g, "").toLowerCase();
