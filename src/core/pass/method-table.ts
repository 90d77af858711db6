/** Defines options whose value is the name of a built-in method, or a custom method. */
import * as v from "valibot";
import { type Does, isMethod, memberOf } from "./custom-methods.ts";
import { modulePath } from "./modules.ts";
import type { Meanings } from "./options.ts";

export function methodTable<M extends object, const Name extends string>(
  methods: Readonly<Record<Name, M & { readonly summary: string }>>,
  { kind, does, title }: { readonly kind: string; readonly does: Does; readonly title: string },
) {
  const names = Object.keys(methods) as Name[];
  const shown = names.map((word) => `"${word}", `).join("");
  const accepted = `is ${shown}${kind} { id, ${[does].flat().join(" or ")} }, or the path of a module that exports one`;
  const custom = v.custom<M>((value) => isMethod(value, does));
  const named = new Map<string, M>(Object.entries<M>(methods));
  const resolve = (value: unknown): M | undefined => {
    const method = typeof value === "string" ? named.get(value) : value;
    return isMethod(method, does) ? (method as M) : undefined;
  };
  const meanings: Meanings = {
    title,
    rows: names.map((name) => [name, methods[name].summary] as const),
  };
  return {
    /** Accepts the name of a method, a custom method, or the path of a module that exports one. */
    schema: v.union([v.picklist(names), custom, modulePath(accepted, names)], accepted),
    meanings,
    /** Returns the method that an option names or contains; undefined for anything else, such as the path of a module. */
    known: resolve,
    /** Returns the method that an option names or contains, once `openModules` has replaced paths. */
    of(value: string | M): M {
      const method = typeof value === "string" ? named.get(value) : value;
      if (method === undefined) throw new Error(`There is no method "${value}".`);
      return method;
    },
    /** Returns whether a method needs samples. Does not validate the method. */
    looksAtSamples(value: unknown): boolean {
      return memberOf(resolve(value), "evidence") !== undefined;
    },
  };
}
