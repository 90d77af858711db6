import { joinList } from "../../core/errors.ts";

const makers: readonly { readonly inputs: readonly string[]; readonly files: readonly string[] }[] = [
  { inputs: ["input_ids"], files: ["tokenizer.json", "tokenizer_config.json"] },
  { inputs: ["pixel_values", "input_features", "input_values"], files: ["preprocessor_config.json"] },
];

/** Returns a sentence without its period; undefined if nothing is missing. @param inputs of all models of the folder. */
export function missingText(names: readonly string[], inputs: readonly string[]): string | undefined {
  const made = makers.filter((maker) => maker.inputs.some((input) => inputs.includes(input)));
  const missing = ["config.json", ...made.flatMap(({ files }) => files)].filter((name) => !names.includes(name));
  if (missing.length === 0) return undefined;
  const verb = missing.length === 1 ? "is" : "are";
  return `${joinList(missing, missing.length)} ${verb} missing: transformers.js cannot run this folder`;
}
