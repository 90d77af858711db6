/** Opens options that are paths: models, and modules of the user (`importance: ./mine.mjs`). */

import * as v from "valibot";
import { asPithError, Model, optionError } from "#graph";
import { importModule } from "#platform";
import { nodesAt } from "./option-schema.ts";
import { checkWith } from "./options.ts";
import type { OptionValues } from "./pass.ts";
import { didYouMean } from "./suggest-option.ts";

const suffix = /\.m?[jt]s$/;
const moduleSchemas = new WeakSet<object>();

/** Returns a schema for the path of a module, to be combined with others in a union. `words` are the other accepted words, for suggestions. */
export function modulePath(
  message: string,
  words: readonly string[] = [],
): v.GenericSchema<string & Record<never, never>, string> {
  const checkSuffix = (text: string): void => {
    if (!suffix.test(text)) throw optionError(`${message}, got "${text}"`, { hint: didYouMean(text, words) });
  };
  const schema = v.pipe(v.string(), checkWith(checkSuffix));
  moduleSchemas.add(schema);
  return schema;
}

export function isModule(schema: v.GenericSchema, name: string, value: unknown): value is string {
  return (
    typeof value === "string" && suffix.test(value) && nodesAt(schema, [name]).some((node) => moduleSchemas.has(node))
  );
}

/** Replaces module paths by their default exports. @throws PithError E_FILE for a missing module, E_OPTION for a failed import or no default export. */
export async function openModules(
  owner: string,
  schema: v.GenericSchema,
  options: OptionValues,
): Promise<OptionValues> {
  const openedModules: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options))
    if (isModule(schema, name, value)) openedModules[name] = await defaultExport(value, `${owner}: "${name}"`);
  return Object.keys(openedModules).length === 0 ? options : { ...options, ...openedModules };
}

/** Returns the default export of a user's module. Errors name the option `at`. */
export async function defaultExport(file: string, at: string): Promise<unknown> {
  const module = await importModule(file, "E_OPTION").catch((cause: unknown) => {
    throw asPithError(cause).reworded({ at });
  });
  if (module.default === undefined) {
    throw optionError(`${at}: ${file} has no default export.`, { hint: 'Export it with "export default".' });
  }
  return module.default;
}

const modelSchemas = new WeakSet<object>();

/** Returns a schema for a model or its path; the pass receives the opened model. */
export function modelOption(): v.GenericSchema<string | Model, Model> {
  const schema = v.union([v.string(), v.instance(Model)], "takes a model or the path of one") as v.GenericSchema<
    string | Model,
    Model
  >;
  modelSchemas.add(schema);
  return schema;
}

export async function openOptionModels(
  schema: v.GenericSchema,
  options: OptionValues,
  open: (path: string) => Promise<Model>,
): Promise<Record<string, unknown>> {
  const isModel = (path: readonly (string | number)[]) => nodesAt(schema, path).some((node) => modelSchemas.has(node));
  const openPath = (value: unknown) => (typeof value === "string" ? open(value) : value);
  const openedOptions: Record<string, unknown> = { ...options };
  for (const [name, value] of Object.entries(options)) {
    if (Array.isArray(value) && isModel([name, 0])) openedOptions[name] = await Promise.all(value.map(openPath));
    else if (isModel([name])) openedOptions[name] = await openPath(value);
  }
  return openedOptions;
}
