/** The command `pith prune`: runs the pass, or with `--vocabulary` removes unused tokens from the models of a folder. */
import * as v from "valibot";
import { option } from "#pass";
import { prune } from "../../../techniques/prune/prune.ts";
import { defineCommand } from "../command.ts";
import { fork } from "../fork.ts";
import type trimVocabulary from "../processes/vocabulary.ts";
import { passCommand } from "./pass.ts";

const modelCommand = passCommand(prune);

const options = v.object({
  ...modelCommand.options.entries,
  vocabulary: option(v.array(v.string()), "keep only tokens that occur in these texts (model folders; .txt, .csv, …)", {
    value: "texts",
  }),
});

export default defineCommand({
  ...modelCommand,
  options,
  examples: [...modelCommand.examples, "prune minilm/ --vocabulary queries.txt -o minilm.small/"],
  folders: ({ vocabulary }) => vocabulary !== undefined,
  run([path = ""], { vocabulary, ...passFlags }: v.InferOutput<typeof options>, session) {
    return vocabulary === undefined
      ? modelCommand.run([path], passFlags, session)
      : fork<typeof trimVocabulary>("vocabulary", [path], { texts: vocabulary, out: passFlags.out }, session, {
          title: `prune ${path}`,
        });
  },
});
