import { expect, test } from "vitest";
import { pageText } from "./page-text.ts";

const places = new Map([
  ["README.md", { address: "index.md", title: "Pith" }],
  ["docs/check.md", { address: "check.md", title: "Models in continuous integration" }],
]);

test("links between pages lead to their addresses, and a file's name becomes the title", () => {
  const text =
    "See [check.md](docs/check.md#budgets), [docs/check.md](docs/check.md), [budgets](docs/check.md) and [SQLite](https://sqlite.org/).";
  expect(pageText(text, "README.md", places)).toBe(
    "See [Models in continuous integration](./check.md#budgets), [Models in continuous integration](./check.md), [budgets](./check.md) and [SQLite](https://sqlite.org/).",
  );
});

test("links to files outside of the site lead to the repository, or are code", () => {
  const text = "A [log](../bench/logs/site.md) and [`action.yml`](../action.yml).";
  expect(pageText(text, "docs/check.md", places)).toBe("A log (`bench/logs/site.md`) and `action.yml`.");
  const paths = "[examples/a.ts](../examples/a.ts) of [examples/](../examples/), [examples](../examples/index.html)";
  expect(pageText(paths, "docs/check.md", places)).toBe("`examples/a.ts` of `examples`, `examples/index.html`");
  expect(pageText(text, "docs/check.md", places, "https://example.com/pith")).toBe(
    "A [log](https://example.com/pith/blob/HEAD/bench/logs/site.md) and [`action.yml`](https://example.com/pith/blob/HEAD/action.yml).",
  );
});

test("links inside of code stay", () => {
  const text = "`[a](docs/check.md)`\n\n```md\n[a](docs/check.md)\n```";
  expect(pageText(text, "README.md", places)).toBe(text);
});
