/** Reads the files that a user chose or dropped, with their paths in the chosen folder. */
import type { ChosenFiles } from "./backend/backend.ts";

export const filesOfInput = ({ files }: HTMLInputElement): ChosenFiles =>
  Array.from(files ?? [], (file) => [file.webkitRelativePath || file.name, file] as const);

/** Returns all dropped files. A folder contributes the files in it, at any depth. */
export async function filesOfDrop({ items }: DataTransfer): Promise<ChosenFiles> {
  // The entries must be read before the first wait, because the browser then empties the list.
  const entries = Array.from(items, (item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  return (await Promise.all(entries.map((entry) => filesIn(entry)))).flat();
}

async function filesIn(entry: FileSystemEntry): Promise<ChosenFiles> {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [[path, file]];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: (readonly [string, File])[] = [];
  // A reader returns at most 100 entries at a time, and none at the end.
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return files;
    for (const each of entries) files.push(...(await filesIn(each)));
  }
}

/** Returns the common folder of files, or the path of the only file. */
export function placeOf(files: ChosenFiles): string {
  const [first = ["", undefined], ...more] = files;
  if (more.length === 0) return first[0];
  const folder = first[0].includes("/") ? (first[0].split("/")[0] ?? "") : "";
  return files.every(([path]) => path.startsWith(`${folder}/`)) ? folder : "";
}
