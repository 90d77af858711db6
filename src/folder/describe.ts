/** What a folder tells its readers: the record of what was made, config.json for the loader, the card for people. */
import { fileNameOf, joinPath, listFolder, openFile, readText, writeFilesAtomically } from "#platform";
import { readSettings } from "../data/tokenizer.ts";
import { withCard } from "./card.ts";
import { bytesOfText } from "./files.ts";
import { configured, dataFilesOf } from "./layout.ts";
import { type Records, recordName } from "./records.ts";
import { type FolderRun, fileOf } from "./run.ts";

const configName = "config.json";
const cardName = "README.md";
/** Files that `describe` writes: they are not copied from the source folder. */
export const describing = [recordName, configName, cardName];

/** Writes all of them at once. */
export async function describe({ folder, out, asked, modules, records, options }: FolderRun): Promise<void> {
  const { keepSmallest = false } = options;
  const names = await listFolder(joinPath(out, "onnx"));
  const chunks = new Map<string, number>();
  for (const name of names) if (name.endsWith(".onnx")) chunks.set(name, dataFilesOf(name, names).length);
  const chosen = new Map(
    modules.map(({ base }) => [base, asked.find((dtype) => records.has(fileOf(base, dtype))) ?? "fp32"] as const),
  );
  const before = (await readSettings(joinPath(folder, configName))) ?? {};
  const config = configured(before, { chunks, chosen, keepSmallest });
  const files: Records = Object.fromEntries(records);
  const there = await listFolder(out);
  const texts = Object.entries({ [recordName]: { files }, [configName]: config })
    .filter(([name, content]) => Object.keys(content).length > 0 || there.includes(name))
    .map(([name, content]) => [name, `${JSON.stringify(content, null, 2)}\n`] as const);
  const originals = new Map<string, number>();
  for (const { base } of modules) {
    const parts = [`${base}.onnx`, ...dataFilesOf(`${base}.onnx`, names)].filter((file) => names.includes(file));
    const sizes = await Promise.all(parts.map(async (file) => (await openFile(joinPath(out, "onnx", file))).size));
    originals.set(
      `onnx/${base}.onnx`,
      sizes.reduce((sum, size) => sum + size, 0),
    );
  }
  const readme = await readText(joinPath(folder, cardName)).catch(() => "");
  const [first, ...others] = new Set(chosen.values());
  const card = {
    ...{ name: fileNameOf(out), config: before, originals, records: files },
    chosen: others.length === 0 ? first : undefined,
    madeWith: options.madeWith,
    tried: keepSmallest ? asked : undefined,
  };
  const written = [...texts, [cardName, withCard(readme, card)] as const];
  await writeFilesAtomically(written.map(([name, text]) => [joinPath(out, name), [bytesOfText(text)]]));
}
