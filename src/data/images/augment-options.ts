/** Options of image augmentation, as text ("crop=4 flip") or as an object. */
import * as v from "valibot";
import { optionError, type PithError } from "#ir";

export const augmentationSchema = v.strictObject({
  /** Pads images with zeros by this many pixels and crops them randomly to the original size. */
  crop: v.optional(v.pipe(v.number(), v.integer("must be a whole number"), v.minValue(0, "must be at least 0"))),
  /** Mirrors half of the images left to right. */
  flip: v.optional(v.boolean()),
  /** Memory layout of images. By default, it is detected from the dimensions. */
  layout: v.optional(v.picklist(["NCHW", "NHWC"])),
});

export type Augmentation = v.InferOutput<typeof augmentationSchema>;

export const augmentationOption = v.union([v.string(), augmentationSchema]);

/** Accepts text such as "crop=4 flip". @throws PithError E_OPTION for an unknown word, an invalid number or none. */
export function parseAugmentation(options: string | Augmentation): Augmentation {
  const result = v.safeParse(augmentationSchema, typeof options === "string" ? wordsOf(options) : options);
  if (!result.success) {
    const [issue] = result.issues;
    const path = v.getDotPath(issue);
    if (issue.type === "strict_object" && path !== null && !(path in augmentationSchema.entries)) {
      const names = Object.keys(augmentationSchema.entries).join(", ");
      throw invalidAugmentation(`"${path}" is not known, only ${names}.`);
    }
    // In the text form, a word without a value has the value `true`.
    if (path !== null && issue.input === true)
      throw invalidAugmentation(`${path} takes ${path === "crop" ? "a number: crop=4" : "a word: layout=NCHW"}.`);
    throw invalidAugmentation(`${path === null ? "" : `${path}: `}${issue.message}.`);
  }
  const { layout: _, ...effects } = result.output;
  if (Object.values(effects).every((value) => value === undefined || value === false || value === 0))
    throw invalidAugmentation("no augmentation is given.");
  return result.output;
}

function invalidAugmentation(sentence: string): PithError {
  const hint = 'For instance "crop=4 flip".';
  return optionError(sentence, { at: "augment", hint });
}

function wordsOf(text: string): Readonly<Record<string, unknown>> {
  const words = text.split(/[\s,]+/).filter((word) => word !== "");
  const pairs = words.map((word): [string, unknown] => {
    const [, name = word, value] = /^([^=]*)=(.*)$/.exec(word) ?? [];
    if (value === undefined) return [name, true];
    return [name, value === "" || Number.isNaN(Number(value)) ? value : Number(value)];
  });
  const duplicate = pairs.find(([name], index) => pairs.findIndex(([other]) => other === name) < index);
  if (duplicate !== undefined) throw invalidAugmentation(`"${duplicate[0]}" is given twice.`);
  return Object.fromEntries(pairs);
}
