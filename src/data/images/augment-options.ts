import * as v from "valibot";
import { PithError } from "../../core/errors.ts";

const isShare = "must be a share from 0 to 1";
const share = v.pipe(v.number(), v.minValue(0, isShare), v.maxValue(1, isShare));

export const augmentationSchema = v.strictObject({
  /** Random crop of the original size after zero padding by this many pixels. */
  crop: v.optional(v.pipe(v.number(), v.integer("must be a whole number"), v.minValue(0, "must be at least 0"))),
  /** Mirror half of the images left to right. */
  flip: v.optional(v.boolean()),
  /** Maximum change of contrast, and of brightness in standard deviations of the image. */
  jitter: v.optional(share),
  /** Deviation of normal noise, in standard deviations of the image. */
  noise: v.optional(v.pipe(v.number(), v.minValue(0, "must be at least 0"))),
  /** Share of images in which a rectangle becomes their mean (Zhong et al. 2020). */
  erase: v.optional(share),
  /** Average images and labels in pairs, with weights from Beta(mixup, mixup) (Zhang et al. 2018). */
  mixup: v.optional(share),
  /** Number of different views of an image before they repeat in order. Not with `mixup`. */
  views: v.optional(v.pipe(v.number(), v.integer("must be a whole number"), v.minValue(1, "must be at least 1"))),
  /** Memory layout of images (default: detected from their dimensions). */
  layout: v.optional(v.picklist(["NCHW", "NHWC"])),
});

export type Augmentation = v.InferOutput<typeof augmentationSchema>;

/** Augmentation options as text or as an object; `parseAugmentation` checks them. */
export const augmentationOption = v.union([v.string(), augmentationSchema]);

/**
 * Checks augmentation options. As text: words with their numbers, "crop=4 flip jitter=0.2".
 * @throws PithError E_OPTION for an unknown word, an invalid number, or an empty list.
 * @example
 * parseAugmentation("crop=4 flip"); // { crop: 4, flip: true }
 */
export function parseAugmentation(options: string | Augmentation): Augmentation {
  const result = v.safeParse(augmentationSchema, typeof options === "string" ? wordsOf(options) : options);
  if (!result.success) {
    const [issue] = result.issues;
    const at = v.getDotPath(issue);
    if (issue.type === "strict_object" && at !== null && !(at in augmentationSchema.entries)) {
      const names = Object.keys(augmentationSchema.entries).join(", ");
      throw optionError(`"${at}" is not known, only ${names}.`);
    }
    // A word without a value is `true`.
    if (at !== null && issue.input === true)
      throw optionError(`${at} ${numbers.get(at) ?? "takes a word: layout=NCHW"}.`);
    throw optionError(`${at === null ? "" : `${at}: `}${issue.message}.`);
  }
  const { layout: _, views, ...effects } = result.output;
  if (Object.values(effects).every((value) => value === undefined || value === false || value === 0))
    throw optionError(
      views === undefined
        ? "no augmentation is given."
        : "views requires an image change: add crop, flip, jitter, noise or erase.",
    );
  if (views !== undefined && (effects.mixup ?? 0) > 0)
    throw optionError("views and mixup cannot be combined: mixup averages the samples of a batch.");
  return result.output;
}

const numbers: ReadonlyMap<string, string> = new Map([
  ["crop", "takes a number: crop=4"],
  ["jitter", "takes a share: jitter=0.2"],
  ["noise", "takes a number: noise=0.05"],
  ["erase", "takes a share: erase=0.25"],
  ["mixup", "takes a share: mixup=0.2"],
  ["views", "takes a number: views=8"],
]);

function optionError(sentence: string): PithError {
  const hint = 'For instance "crop=4 flip jitter=0.2 noise=0.05 erase=0.25", and with it "mixup=0.2" or "views=8".';
  return new PithError("E_OPTION", sentence, { at: "augment", hint });
}

function wordsOf(text: string): Readonly<Record<string, unknown>> {
  const words = text.split(/[\s,]+/).filter((word) => word !== "");
  const pairs = words.map((word): [string, unknown] => {
    const [, name = word, value] = /^([^=]*)=(.*)$/.exec(word) ?? [];
    if (value === undefined) return [name, true];
    const number = Number(value.endsWith("%") ? value.slice(0, -1) : value);
    if (value === "" || Number.isNaN(number)) return [name, value];
    return [name, value.endsWith("%") ? number / 100 : number];
  });
  const twice = pairs.find(([name], at) => pairs.findIndex(([other]) => other === name) < at);
  if (twice !== undefined) throw optionError(`"${twice[0]}" is given twice.`);
  return Object.fromEntries(pairs);
}
