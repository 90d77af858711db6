/** `npm run site`: builds the site from docs/, the public names and the studio, and serves it on the loopback address. `--build` only builds it. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { pageText } from "./site/page-text.ts";
import { serve } from "./site/serve.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const [site, pages, dist] = ["site", "site/pages", "site/dist"].map((name) => join(root, name)) as [
  string,
  string,
  string,
];

/** Pages outside of docs/, by their address on the site. */
const others = {
  "index.md": "README.md",
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
  const texts = Object.entries(sources).map(
    ([address, source]) => ({ address, source, text: readFileSync(join(root, source), "utf8") }) as const,
  );
  const places = new Map(
    texts.map(({ address, source, text }) => [source, { address, title: /^# (.*)/m.exec(text)?.[1] }]),
  );
  for (const { address, source, text } of texts) {
    mkdirSync(dirname(join(pages, address)), { recursive: true });
    const page = pageText(text, source, places);
    writeFileSync(join(pages, address), source === "README.md" ? withInvitation(page) : page);
  }
  cpSync(join(root, "docs/images"), join(pages, "public/images"), { recursive: true });
  cpSync(join(root, "docs/recipe.schema.json"), join(pages, "public/recipe.schema.json"));
}

/** Adds a picture and the studio after the first paragraph of the landing page. */
function withInvitation(text: string): string {
  const [title = "", first = "", ...others] = text.split("\n\n");
  const invitation = `<p><a href="/studio/" target="_self">Try it in the browser</a>: nothing is uploaded.</p>`;
  const picture = "![Bytes by layer of a network and of its int8 version](/images/studio-smaller.png)";
  return [title, first, invitation, picture, ...others].join("\n\n");
}

function run(program: string, words: readonly string[], folder: string): void {
  const { status } = spawnSync(process.execPath, [join(root, "node_modules", program), ...words], {
    cwd: folder,
    stdio: "inherit",
  });
  if (status !== 0) throw new Error(`${program} ended with ${status}.`);
}

/** Writes a module for each entry point, whose path is the name that programs import. */
function collectEntries(): void {
  const folder = join(site, "entries");
  rmSync(folder, { recursive: true, force: true });
  const { exports }: { readonly exports: Readonly<Record<string, { readonly "pith-source"?: string }>> } = JSON.parse(
    readFileSync(join(root, "package.json"), "utf8"),
  );
  for (const [name, { "pith-source": source }] of Object.entries(exports)) {
    if (source === undefined) continue;
    const path = join(folder, `${posix.join("pith", name)}.ts`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(
      path,
      `export * from ${JSON.stringify(relative(dirname(path), join(root, source)).replaceAll("\\", "/"))};\n`,
    );
  }
}

collectPages();
collectEntries();
run("typedoc/bin/typedoc", ["--options", join(site, "typedoc.json")], root);
run("vitepress/bin/vitepress.js", ["build"], site);
run("vite/bin/vite.js", ["build", "--outDir", join(dist, "studio"), "--emptyOutDir"], join(root, "studio"));
if (!process.argv.includes("--build")) await serve(dist);
