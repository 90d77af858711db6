/** Settings of the site. `scripts/site.ts` collects its pages, most of them from `docs/`. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vitepress";
import { headingAnchor } from "../../scripts/generate/heading-anchor.ts";
import { markWideTables } from "../../scripts/site/narrow-tables.ts";

/** Folder of the pages, the path below which a server has them, such as "/pith/", and the web address of the repository. */
const { SITE_PAGES: pages = "", SITE_BASE: base = "/", SITE_REPOSITORY: repository } = process.env;

/** Guides by task: the name of the page, and its text in the sidebar. */
const tasks = {
  "See results": {
    start: "Start here",
    models: "Which models work",
    gallery: "Gallery",
    "real-models": "Known models",
    benchmarks: "Benchmarks",
    missed: "What is missed",
  },
  "Make it smaller": {
    compress: "Search",
    search: "How the search decides",
    quantization: "Quantization",
    pruning: "Pruning",
    "low-rank": "Low rank",
    simplify: "Simplify",
    distillation: "Distillation",
    recipes: "Recipes",
    download: "Small downloads",
    "transformers-js": "transformers.js",
    "published-folder": "A published folder",
  },
  "Check it": {
    verdicts: "Verdicts",
    "compared-outputs": "Compared outputs",
    messages: "Messages",
    data: "Data",
    sensitivity: "Sensitivity",
    check: "In continuous integration",
  },
  "Train it": { training: "Training and fine-tuning" },
  "Ship it": {
    studio: "Studio",
    targets: "Runtimes",
    scaling: "Several machines",
    privacy: "Privacy",
    security: "Security",
  },
  "Extend it": { programs: "In programs", contributing: "Contributing", architecture: "Architecture" },
  Reference: { cli: "Commands", api: "API", ops: "Operators", errors: "Errors", changelog: "Changelog" },
};

const sidebar = Object.entries(tasks).map(([text, items]) => ({
  text,
  items: Object.entries(items).map(([name, title]) => {
    if (![`${name}.md`, `${name}/index.md`].some((file) => existsSync(join(pages, file))))
      throw new Error(`The sidebar lists "${name}", but no page has this name.`);
    return { text: title, link: name === "api" ? "/api/" : `/${name}` };
  }),
}));

/** Whether a line of a terminal is a long sentence and not the row of a table, so that a page can wrap it. */
const isSentence = (line: string): boolean =>
  line.length > 60 && (/^[a-z][a-z ]*: /.test(line) || !/\S {2,}\S/.test(line));

/** Keeps each flag in the HTML of code on one line. Attributes do not change: no value of them begins with a hyphen after a space. */
const keepFlags = (html: string): string =>
  html.replace(/(?<=[>\s])-{1,2}[a-z][\w-]*/g, '<span class="whole">$&</span>');

/** Keeps a short word of code on one line, and lets long names and paths wrap after their parts. */
const wrapInlineCode = (html: string, text: string): string =>
  /^\S{1,24}$/.test(text)
    ? html.replace("<code", '<code class="whole"')
    : keepFlags(html).replace(/(?<=[\w*>;])[/_](?=[\w.*&{])/g, "$&<wbr>");

/** Lets long names, such as those of operators, wrap before a capital letter and after a stop. Sentences wrap only the longest. */
const wrapNames = (text: string): string =>
  text.replace(/[A-Za-z.]{15,}/g, (name) =>
    name.replace(/[a-z](?=[A-Z])|\.(?=[a-zA-Z])/g, `$&<wbr${name.length > 34 ? "" : ' class="cell"'}>`),
  );

/** Keeps a number and its unit on one line. */
const keepUnits = (text: string): string =>
  text.replace(/(\d) (?=(?:[%×]|[kMGT]?B\b|m?s\b|dB\b|points?\b))/g, "$1\u00a0");

export default defineConfig({
  srcDir: pages,
  base,
  outDir: "dist",
  title: "Pith",
  description:
    "Compress neural networks without Python: prune, quantize, distill and factorize ONNX models, and measure the result.",
  head: [["link", { rel: "icon", href: "data:," }]],
  lastUpdated: false,
  // No component of the theme has options, so that Vue's code for them stays out of every page.
  vite: { define: { __VUE_OPTIONS_API__: "false" } },
  // The sidebar does not list the pages of folders, so they have no neighbors.
  transformPageData({ relativePath, frontmatter }) {
    if (!relativePath.includes("/") || relativePath === "api/index.md") return;
    const isReference = relativePath.startsWith("api/");
    frontmatter.prev = isReference ? { text: "API", link: "/api/" } : { text: "Contributing", link: "/contributing" };
    frontmatter.next = false;
  },
  // The studio is built beside the pages.
  ignoreDeadLinks: [/^\/studio\//],
  // The addresses of headings are those of GitHub, which links in the pages use.
  markdown: {
    config({ core, renderer }) {
      core.ruler.push("wide-tables", ({ tokens }) => markWideTables(tokens));
      renderer.rules.table_open = (tokens, index, _options, _env, self) =>
        `<table tabindex="0"${tokens[index] === undefined ? "" : self.renderAttrs(tokens[index])}>`;
      const { code_inline: render, text: renderText } = renderer.rules;
      renderer.rules.text = (...input) => keepUnits(wrapNames(renderText?.(...input) ?? ""));
      renderer.rules.code_inline = (tokens, index, ...rest) =>
        wrapInlineCode(render?.(tokens, index, ...rest) ?? "", tokens[index]?.content ?? "");
    },
    anchor: { slugify: headingAnchor },
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
    codeTransformers: [
      {
        line(node, line) {
          if (isSentence(this.source.split("\n")[line - 1] ?? "")) this.addClassToHast(node, "sentence");
        },
        postprocess: (html, { lang }) => (lang === "sh" || lang === "bash" ? keepFlags(html) : html),
      },
    ],
  },
  themeConfig: {
    search: {
      provider: "local",
      options: { translations: { button: { buttonText: "Search", buttonAriaLabel: "Search" } } },
    },
    nav: [
      { text: "Start", link: "/start" },
      { text: "Guides", link: "/compress" },
      { text: "Gallery", link: "/gallery" },
      { text: "Commands", link: "/cli" },
      { text: "API", link: "/api/" },
      { text: "Studio", link: "/studio/", target: "_self" },
    ],
    sidebar,
    ...(repository === undefined ? {} : { socialLinks: [{ icon: "github", link: repository }] }),
    outline: [2, 3],
    notFound: { quote: "The site has no page with this address. The search finds guides, commands and functions." },
  },
});
