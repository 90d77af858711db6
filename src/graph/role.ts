/**
 * What a value is, beyond its numbers. A role is part of the graph: it is stored in the file as metadata, every pass honours it, and
 * `finalize` removes it.
 */

export type Role =
  | { readonly kind: "parameter" }
  /** Belongs to the model, never trained. */
  | { readonly kind: "buffer" }
  /** A pruning mask, 0 or 1: multiplied with the parameter, never trained, never folded away. */
  | { readonly kind: "mask" }
  /** Carried from run to run: running statistics, optimizer moments. */
  | { readonly kind: "state" }
  /** The same parameter as `name`, perhaps transposed: trained as one. */
  | Tied
  /**
   * Made by a node without a useful slope (a rounding, a sign, a comparison). Gradients pass to its first input x as if it computed a surrogate:
   * slope · clip(x, low, high), where what is absent does nothing; so by itself the identity.
   */
  | StraightThrough;

export interface Tied {
  readonly kind: "tied";
  readonly name: string;
  readonly transposed: boolean;
}

export interface StraightThrough {
  readonly kind: "straight-through";
  /** 1 if absent. */
  readonly slope?: number;
  /** Gradients pass where x lies between these, bounds included. */
  readonly low?: number;
  readonly high?: number;
}

export const parameter: Role = { kind: "parameter" };
export const buffer: Role = { kind: "buffer" };
export const mask: Role = { kind: "mask" };
export const straightThrough: StraightThrough = { kind: "straight-through" };

/** The key under which a role is stored in the metadata of a tensor or value. */
export const roleKey = "pith.role";

/** The settings of a surrogate, in the order in which they are written. */
const settings = ["low", "high", "slope"] as const;

/**
 * "parameter", "mask", "tied(embedding.weight, transposed)", "straight-through(low=-1, high=1)"; a name that could be mistaken stands in
 * quotes.
 */
export function roleText(role: Role): string {
  if (role.kind === "straight-through") {
    const said = settings.flatMap((name) => (role[name] === undefined ? [] : [`${name}=${role[name]}`]));
    return said.length === 0 ? role.kind : `${role.kind}(${said.join(", ")})`;
  }
  if (role.kind !== "tied") return role.kind;
  const name = /^"|, transposed$/.test(role.name) ? JSON.stringify(role.name) : role.name;
  return `tied(${name}${role.transposed ? ", transposed" : ""})`;
}

const plainWords = {
  parameter: "trainable",
  buffer: "frozen",
  mask: "a pruning mask",
  state: "training state",
  tied: "tied to another tensor",
  "straight-through": "fake quantization",
} as const;

/** "trainable", "frozen", "a pruning mask": for messages. */
export function roleWords({ kind }: Role): string {
  return plainWords[kind];
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
  const [, surrogate] = /^straight-through\((.*)\)$/s.exec(text) ?? [];
  if (surrogate !== undefined) return parseSurrogate(surrogate);
  const [, written, transposed] = /^tied\((.*?)(, transposed)?\)$/s.exec(text) ?? [];
  const name = written === undefined ? undefined : unquoted(written);
  return name === undefined ? undefined : { kind: "tied", name, transposed: transposed !== undefined };
}

/** `low=-1, high=1, slope=0.5`: each at most once, finite, in any order. */
function parseSurrogate(text: string): StraightThrough | undefined {
  const found: { low?: number; high?: number; slope?: number } = {};
  for (const part of text.split(",")) {
    const [, name, number] = /^\s*(\w+)\s*=\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*$/i.exec(part) ?? [];
    const setting = settings.find((each) => each === name);
    const value = Number(number);
    if (setting === undefined || !Number.isFinite(value) || found[setting] !== undefined) return undefined;
    found[setting] = value;
  }
  return { kind: "straight-through", ...found };
}

function unquoted(text: string): string | undefined {
  if (!text.startsWith('"')) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return undefined;
  }
}
