/** Suggests the option or word that a user probably meant. */
import { allNearest, nearest } from "#graph";

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
  ["sparsity", "amount"],
  ["ratio", "amount"],
  ["nbits", "bits"],
  ["numbits", "bits"],
  ["exclude", "except"],
  ["ignore", "except"],
  ["multiple", "roundTo"],
  ["against", "original"],
  ["baseline", "original"],
]);

/** Returns a question that suggests the most similar accepted words. */
export function didYouMean(typedText: string, words: readonly string[]): string | undefined {
  const similar = allNearest(typedText, words).filter((word) => word !== typedText);
  return similar.length === 0
    ? undefined
    : `Did you mean ${similar
        .map((word) => `"${word}"`)
        .join(", ")
        .replace(/, (?=[^,]*$)/, " or ")}?`;
}

/** Returns a hint for an unknown option, such as another spelling (`--learning-rate`) or another tool's name (`lr`). */
export function unknownOptionHint(typedText: string, names: readonly string[]): string | undefined {
  const key = normalize(typedText);
  const optionEqualTo = (meant: string | undefined) => names.find((name) => normalize(name) === normalize(meant ?? ""));
  const name = optionEqualTo(key) ?? optionEqualTo(synonyms.get(key)) ?? nearest(typedText, names);
  return name === undefined || name === typedText
    ? undefined
    : `Did you mean ${typedText.startsWith("--") ? name : `"${name}"`}?`;
}

const normalize = (name: string): string => name.replace(/[-_]/g, "").toLowerCase();
