/** Prints the result of a command on a folder. */
import { basename, join } from "node:path";
import type { FolderFile } from "../../folder/folder-run.ts";
import { changeText, folderTable } from "../../folder/folder-table.ts";
import { noVariantText } from "../../folder/model-card.ts";
import type { Result } from "../command.ts";

/** @param isChoice whether only one file per model is kept. */
export function resultOfFolder(
  out: string,
  files: readonly FolderFile[],
  originals: ReadonlyMap<string, number>,
  isChoice: boolean,
): Result {
  const isKept = ({ verdict }: FolderFile): boolean => verdict === "kept" || verdict === "there";
  const isMade = (row: FolderFile): boolean => isKept(row) || row.verdict === "unusable";
  return {
    json: { out, files },
    isGoalMissed: !(isChoice ? files.some(isKept) : files.every(isKept)),
    print(terminal) {
      const { rows, columns, notes } = folderTable(files, originals);
      const markText = (row: FolderFile): string =>
        isChoice && isKept(row) ? "← kept" : row.verdict === "there" ? "kept from the previous run" : row.verdict;
      terminal.table(
        [...columns, { title: "outcome" }],
        rows.map((row) => [
          ...columns.map(({ title, text }) => (title === "file" ? basename(row.file, ".onnx") : text(row))),
          "verdict" in row ? markText(row) : "original",
        ]),
      );
      for (const note of notes) terminal.line(note);
      for (const { file, verdict, reason = "" } of files)
        if (verdict === "rejected") terminal.line(`rejected: ${basename(file)}: ${reason}`);
      if (!files.some(isMade)) terminal.line(noVariantText);
      terminal.line(`written: ${terminal.color.bold(out)}`);
      if (files.some(isKept)) terminal.line(`change: ${changeText(files.filter(isKept), originals)}`);
      if (files.some(isKept))
        terminal.line(`next: run the program in ${join(out, "README.md")}, which loads the folder`);
    },
  };
}
