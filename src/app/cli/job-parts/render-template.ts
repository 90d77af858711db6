/** Renders Jinja templates with the package that transformers.js uses, if that is installed next to Pith. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { root } from "#root";
import type { RenderTemplate } from "../../../data/text/chat-template.ts";

interface Jinja {
  readonly Template: new (text: string) => { render(values: object): string };
}

/** @throws Error without transformers.js, or for an invalid template. */
export const renderTemplate: RenderTemplate = async (template, values) => {
  const library = createRequire(join(fileURLToPath(root()), "_")).resolve("@huggingface/transformers");
  const jinja: Jinja = await import(pathToFileURL(createRequire(library).resolve("@huggingface/jinja")).href);
  return new jinja.Template(template).render(values);
};
