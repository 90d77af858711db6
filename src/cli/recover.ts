/**
 * Recovery as the command does it: the pass of the library, and the original named. A recipe has the original at hand, where it is called just
 * that; on the command line nothing else than its file can be meant.
 */
import * as v from "valibot";
import { definePass } from "../passes/index.ts";
import { recover } from "../recover/index.ts";

const { original } = recover.options.entries;

/** @throws PithError as `recover` does. */
export const recoverCommand = definePass({
  id: recover.id,
  summary: recover.summary,
  options: v.strictObject({
    ...recover.options.entries,
    original: v.pipe(
      v.string(),
      v.description(v.getDescription(original) ?? ""),
      v.metadata({ value: "original.onnx" }),
    ),
  }),
  run: (model, options, context) => recover(model, options, context),
});
