/** Renders Jinja templates with the package that transformers.js uses. */
import { dirname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Miss } from "#ir";
import { root } from "#root";
import type { RenderTemplate } from "../../../../data/text/chat-template.ts";
import { resolvePackage } from "./resolve-package.ts";

interface Jinja {
  readonly Template: new (text: string) => { render(values: object): string };
}

const library = "@huggingface/transformers";

/** @throws Error for an invalid template. */
export const renderTemplate: RenderTemplate = async (template, values) => {
  const libraryPath = resolvePackage(fileURLToPath(root()), library);
  const path = libraryPath && resolvePackage(dirname(libraryPath), "@huggingface/jinja");
  if (path === undefined) return new Miss(`${library}, which renders chat templates, is not installed next to Pith`);
  const jinja: Jinja = await import(pathToFileURL(path).href);
  return new jinja.Template(template).render(values);
};
