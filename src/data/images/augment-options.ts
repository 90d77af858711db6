/** Options of image augmentation, as text ("crop=4 flip") or as an object. */
import * as v from "valibot";
import { PithError } from "#ir";

const isShare = "must be a share from 0 to 1";
const share = v.pipe(v.number(), v.minValue(0, isShare), v.maxValue(1, isShare));

export const augmentationSchema = v.strictObject({
  /** Pads images with zeros by this many pixels and crops them randomly to the original size. */
  crop: v.optional(v.pipe(v.number(), v.integer("must be a whole number"), v.minValue(0, "must be at least 0"))),
  /** Mirrors half of the images left to right. */
  flip: v.optional(v.boolean()),
  /** The maximum change of contrast (as a share), and of brightness (in standard deviations of the image). */
  jitter: v.optional(share),
  /** The standard deviation of added normal noise, in standard deviations of the image. */
  noise: v.optional(v.pipe(v.number(), v.minValue(0, "must be at least 0"))),
  /** The share of images in which a rectangle is replaced by the channel means (Zhong et al. 2020). */
  erase: v.optional(share),
  /** The memory layout of images. By default, it is detected from the dimensions. */
  layout: v.optional(v.picklist(["NCHW", "NHWC"])),
});

export type Augmentation = v.InferOutput<typeof augmentationSchema>;

/** Augmentation options as text or as an object, which `parseAugmentation` checks. */
export const augmentationOption = v.union([v.string(), augmentationSchema]);

/**
 * Checks augmentation options. In text, words have numbers, as in "crop=4 flip jitter=0.2".
 * @throws PithError E_OPTION for an unknown word, an invalid number, or if no augmentation is given.
 */
export function parseAugmentation(options: string | Augmentation): Augmentation {
  const result = v.safeParse(augmentationSchema, typeof options === "string" ? wordsOf(options) : options);
  if (!result.success) {
    const [issue] = result.issues;
    const path = v.getDotPath(issue);
    if (issue.type === "strict_object" && path !== null && !(path in augmentationSchema.entries)) {
      const names = Object.keys(augmentationSchema.entries).join(", ");
      throw optionError(`"${path}" is not known, only ${names}.`);
    }
    // In the text form, a word without a value has the value `true`.
    if (path !== null && issue.input === true)
      throw optionError(`${path} ${valueHints.get(path) ?? "takes a word: layout=NCHW"}.`);
    throw optionError(`${path === null ? "" : `${path}: `}${issue.message}.`);
  }
  const { layout: _, ...effects } = result.output;
  if (Object.values(effects).every((value) => value === undefined || value === false || value === 0))
    throw optionError("no augmentation is given.");
  return result.output;
}

const valueHints: ReadonlyMap<string, string> = new Map([
  ["crop", "takes a number: crop=4"],
  ["jitter", "takes a share: jitter=0.2"],
  ["noise", "takes a number: noise=0.05"],
  ["erase", "takes a share: erase=0.25"],
]);

function optionError(sentence: string): PithError {
  const hint = 'For instance "crop=4 flip jitter=0.2 noise=0.05 erase=0.25".';
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
  const duplicate = pairs.find(([name], index) => pairs.findIndex(([other]) => other === name) < index);
  if (duplicate !== undefined) throw optionError(`"${duplicate[0]}" is given twice.`);
  return Object.fromEntries(pairs);
}
