/**
 * Makes the gallery of the site: runs the command of each model, and writes its run record and recipe to site/gallery/.
 *
 *     npx tsx --conditions=pith-source scripts/gallery.ts [name …]
 *
 * The models and their data are in the folder `data` of ../shared, or of PITH_SHARED. Without names it makes all eight in about half an hour.
 * The commands run in out/gallery/, where the next run finds the steps that this one finished.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { shared } from "../test/shared.ts";
import { type GalleryModel, models } from "./gallery/models.ts";
import { recipePath, recordPath } from "./gallery/page.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

function make({ name, files, command }: GalleryModel): void {
  const sources = Object.entries(files).map(([link, file]) => ({ link, file, path: shared(join("data", file)) }));
  for (const { file, path } of sources)
    if (path === undefined) throw new Error(`${name} needs data/${file} in ../shared, or in the folder PITH_SHARED.`);
  const folder = join(root, "out/gallery", name);
  // The command reads its files by short names, so that record and report contain no paths of this machine.
  for (const { link, path = "" } of sources) {
    mkdirSync(dirname(join(folder, link)), { recursive: true });
    rmSync(join(folder, link), { force: true });
    symlinkSync(path, join(folder, link));
  }
  if (command.includes("-r")) copyFileSync(recipePath(name), join(folder, "recipe.yaml"));
  const program = [join(root, "node_modules/tsx/dist/cli.mjs"), "--conditions=pith-source"];
  const words = [join(root, "src/app/cli/main.ts"), ...command, "-o", "out/"];
  const { status } = spawnSync(process.execPath, [...program, ...words], { cwd: folder, stdio: "inherit" });
  if (status !== 0) throw new Error(`${name}: the command ended with ${status}.`);
  const record = JSON.parse(readFileSync(join(folder, "out/run.json"), "utf8"));
  // The samples of several datasets must not be published.
  const disagreements = record.disagreements.map((sample: object) => ({ ...sample, shown: undefined }));
  const published = { ...record, disagreements, written: undefined };
  writeFileSync(recordPath(name), `${JSON.stringify(published, undefined, 1)}\n`);
  copyFileSync(join(folder, "out/recipe.yaml"), recipePath(name));
}

const names = process.argv.slice(2);
const unknownName = names.find((name) => !models.some((model) => model.name === name));
if (unknownName !== undefined)
  throw new Error(`The gallery has no "${unknownName}", only ${models.map(({ name }) => name).join(", ")}.`);
for (const model of models) if (names.length === 0 || names.includes(model.name)) make(model);
