/** Removes tokens that do not occur in given texts from the tokenizer and the models of a folder. */
import { open, PithError } from "#ir";
import { joinPath } from "#platform";
import { createEngine } from "../../../core/engine/index.ts";
import { bytes, counted, integer } from "../../../core/numbers.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { trimFolder } from "../../folder/trim-vocabulary.ts";
import type { ProcessSession, Result } from "../command.ts";
import { besideInput, fileBytes, filesOfModel, isFolder, requireOther } from "../files/files.ts";
import { requireWritableFolder } from "../files/writable.ts";
import { contextOf } from "../job-parts/open-model.ts";
import { changeColumns, changeRow } from "../print/table.ts";

const allowedFlags: ReadonlySet<string> = new Set(["--vocabulary", "--out", "--json", "--seed"]);

export default async function trimVocabulary(
  [folder = ""]: readonly string[],
  { texts, out: outFlag }: { readonly texts: readonly string[]; readonly out: string | undefined },
  session: ProcessSession,
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
  session.stage("texts");
  const trimmed = await trimFolder(folder, { texts, out }, contextOf(createEngine(), session, session));
  const { kept, tokens, models } = trimmed;
  const sizes: Record<string, { readonly before: number; readonly after: number }> = {};
  for (const { file } of models) {
    const [before, after] = [joinPath(folder, file), joinPath(out, file)];
    const sizeOf = async (path: string): Promise<number> => fileBytes(filesOfModel(await open(path), path));
    sizes[file] = { before: await sizeOf(before), after: await sizeOf(after) };
  }
  const name = "tokenizer.json";
  sizes[name] = { before: await fileBytes([joinPath(folder, name)]), after: await fileBytes([joinPath(out, name)]) };
  return {
    data: { folder, out, ...trimmed, bytes: sizes },
    print(terminal) {
      terminal.line(`tokens: ${integer(kept.length)} of ${integer(tokens)} are kept`);
      terminal.line(`tokenizer: the same tokens for all of ${counted(trimmed.texts, "text")}`);
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
      terminal.line(`next: pith quantize ${quoteWord(out)} --dtype q8`);
    },
  };
}

const sameness = (difference: number): string =>
  difference === 0 ? "the same outputs as" : `outputs at most ${difference.toExponential(1)} from those of`;
