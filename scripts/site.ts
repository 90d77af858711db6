/** `npm run site`: builds the site from docs/, the public names and the studio, and serves it on the loopback address. `--build` only builds it. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { pageText } from "./site/page-text.ts";
import { serve } from "./site/serve.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const [site, pages, dist] = ["site", "site/pages", "site/dist"].map((name) => join(root, name)) as [string, string, string];

/** Pages outside of docs/, by their address on the site. */
const others = {
  "index.md": "site/index.md",
  "contributing.md": "CONTRIBUTING.md",
  "changelog.md": "CHANGELOG.md",
  "security.md": "SECURITY.md",
};

function collectPages(): void {
  rmSync(pages, { recursive: true, force: true });
  const guides = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".md"));
  const sources = { ...Object.fromEntries(guides.map((name) => [name, `docs/${name}`])), ...others };
  const addresses = new Map(Object.entries(sources).map(([address, source]) => [source, address]));
  for (const [address, source] of Object.entries(sources)) {
    mkdirSync(dirname(join(pages, address)), { recursive: true });
    writeFileSync(join(pages, address), pageText(readFileSync(join(root, source), "utf8"), source, address, addresses));
  }
  cpSync(join(root, "docs/images"), join(pages, "public/images"), { recursive: true });
  cpSync(join(root, "docs/recipe.schema.json"), join(pages, "public/recipe.schema.json"));
}

function run(program: string, words: readonly string[], folder: string): void {
  const { status } = spawnSync(process.execPath, [join(root, "node_modules", program), ...words], { cwd: folder, stdio: "inherit" });
  if (status !== 0) throw new Error(`${program} ended with ${status}.`);
}

collectPages();
run("typedoc/bin/typedoc", ["--options", join(site, "typedoc.json")], root);
run("vitepress/bin/vitepress.js", ["build"], site);
run("vite/bin/vite.js", ["build", "--outDir", join(dist, "studio"), "--emptyOutDir"], join(root, "studio"));
if (!process.argv.includes("--build")) await serve(dist);
