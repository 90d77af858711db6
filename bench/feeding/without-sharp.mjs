/** A program that this is imported into finds no sharp, nor do its threads: as where the optional dependency is not installed. */
import { register } from "node:module";

const hooks = `export async function resolve(name, context, next) {
  if (name === "sharp") throw Object.assign(new Error("sharp is hidden"), { code: "ERR_MODULE_NOT_FOUND" });
  return next(name, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
