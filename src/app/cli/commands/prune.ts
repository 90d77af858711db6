/** The command `pith prune`: runs the pass, or with `--vocabulary` removes unused tokens from the models of a folder. */
import * as v from "valibot";
import { PithError } from "#ir";
import { option } from "#pass";
import { bytes, counted, integer } from "../../../core/numbers.ts";
import { prune } from "../../../techniques/prune/prune.ts";
import { defineCommand, type Result, type Session } from "../command.ts";
import { besideInput, isFolder, requireOther } from "../files/files.ts";
import { requireWritableFolder } from "../files/writable.ts";
import type vocabularyJob from "../jobs/vocabulary.ts";
import type { VocabularyOutput } from "../jobs/vocabulary.ts";
import { changeColumns, changeRow } from "../print/table.ts";
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
      : trimVocabulary(path, vocabulary, passFlags.out, session);
  },
});

const allowedFlags: ReadonlySet<string> = new Set(["--vocabulary", "--out", "--json", "--seed"]);

async function trimVocabulary(
  folder: string,
  texts: readonly string[],
  outFlag: string | undefined,
  session: Session,
): Promise<Result> {
  const otherFlag = session.line
    .map((word) => word.replace(/=.*/s, ""))
    .find((word) => /^--/.test(word) && !allowedFlags.has(word));
  if (otherFlag !== undefined)
    throw new PithError("E_USAGE", `--vocabulary accepts a folder and -o, but not ${otherFlag}.`, {
      hint: "Trim the vocabulary first, then prune the written model.",
    });
  if (!(await isFolder(folder)))
    throw new PithError(
      "E_USAGE",
      `--vocabulary is for a folder, with tokenizer.json and onnx/; "${folder}" is not one.`,
    );
  const out = outFlag ?? besideInput(folder, ".trimmed");
  await requireOther(out, [["the folder itself", folder]]);
  await requireWritableFolder(out, []);
  const input = { folder, texts, out, seed: session.seed };
  const result = await session.job<typeof vocabularyJob>("vocabulary", input, `prune ${folder}`);
  return showTrimmed(folder, out, result);
}

function showTrimmed(folder: string, out: string, result: VocabularyOutput): Result {
  const { kept, tokens, texts, models, bytes: sizes } = result;
  return {
    data: { folder, out, ...result },
    print(terminal) {
      terminal.line(`tokens: ${integer(kept.length)} of ${integer(tokens)} are kept`);
      terminal.line(`tokenizer: the same tokens for all of ${counted(texts, "text")}`);
      const rows = Object.entries(sizes).map(([file, { before, after }]) => changeRow(file, before, after, bytes));
      terminal.table(changeColumns, rows);
      for (const { file, compared, changes } of models) {
        const changesText =
          changes.length === 0 ? "has no token embedding, so it is copied" : changes.map(({ at }) => at).join(", ");
        const comparison =
          typeof compared === "string"
            ? `not compared with the original: ${compared}`
            : `${sameness(compared.difference)} the original, on ${counted(compared.texts, "text")}`;
        terminal.line(`${file}: ${changesText}; ${comparison}`);
      }
      terminal.line(`written: ${terminal.color.bold(out)}`);
    },
  };
}

const sameness = (difference: number): string =>
  difference === 0 ? "the same outputs as" : `outputs at most ${difference.toExponential(1)} from those of`;
