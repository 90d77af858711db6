/**
 * What a value is, beyond its numbers. A role is part of the graph: it is stored in the file as metadata, every pass honours it, and
 * `finalize` removes it.
 */

export type Role =
  /** Trained. */
  | { readonly kind: "parameter" }
  /** Belongs to the model, never trained. */
  | { readonly kind: "buffer" }
  /** A pruning mask, 0 or 1: multiplied with the parameter, never trained, never folded away. */
  | { readonly kind: "mask" }
  /** Carried from run to run: running statistics, optimizer moments. */
  | { readonly kind: "state" }
  /** The same parameter as `name`, perhaps transposed: trained as one. */
  | { readonly kind: "tied"; readonly name: string; readonly transposed: boolean }
  /** Made by a rounding that gradients pass through as if it were the identity. */
  | { readonly kind: "straight-through" };

export const parameter: Role = { kind: "parameter" };
export const buffer: Role = { kind: "buffer" };
export const mask: Role = { kind: "mask" };
export const straightThrough: Role = { kind: "straight-through" };

/** The key under which a role is stored in the metadata of a tensor or value. */
export const roleKey = "pith.role";

/** "parameter", "mask", "tied(embedding.weight, transposed)"; a name that could be mistaken stands in quotes. */
export function roleText(role: Role): string {
  if (role.kind !== "tied") return role.kind;
  const name = /^"|, transposed$/.test(role.name) ? JSON.stringify(role.name) : role.name;
  return `tied(${name}${role.transposed ? ", transposed" : ""})`;
}

/** The inverse of `roleText`; undefined for a text that is no role. */
export function parseRole(text: string): Role | undefined {
  switch (text) {
    case "parameter":
    case "buffer":
    case "mask":
    case "state":
    case "straight-through":
      return { kind: text };
  }
  const [, written, transposed] = /^tied\((.*?)(, transposed)?\)$/s.exec(text) ?? [];
  const name = written === undefined ? undefined : unquoted(written);
  return name === undefined ? undefined : { kind: "tied", name, transposed: transposed !== undefined };
}

function unquoted(text: string): string | undefined {
  if (!text.startsWith('"')) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return undefined;
  }
}
