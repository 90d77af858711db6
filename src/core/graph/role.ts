/** The role of a value. Files store roles as metadata, every pass respects them, and `finalize` removes them. */

export type Role =
  | { readonly kind: "parameter" }
  /** Part of the model, never trained. */
  | { readonly kind: "buffer" }
  /** A pruning mask, 0 or 1: multiplied with the parameter, never trained, never folded. */
  | { readonly kind: "mask" }
  /** Carried from run to run: running statistics, optimizer moments. */
  | { readonly kind: "state" }
  /** The same parameter as `name`, possibly transposed: trained as one. */
  | Tied
  /**
   * The output of a node without a useful gradient (rounding, sign, comparison). Gradients pass to its first input x as for
   * slope · clip(x, low, high), where absent settings have no effect; by default the identity.
   */
  | StraightThrough;

export interface Tied {
  readonly kind: "tied";
  readonly name: string;
  readonly transposed: boolean;
}

export interface StraightThrough {
  readonly kind: "straight-through";
  readonly slope?: number;
  /** Gradients pass if x is between these, inclusive. */
  readonly low?: number;
  readonly high?: number;
}

export const parameter: Role = { kind: "parameter" };
export const buffer: Role = { kind: "buffer" };
export const mask: Role = { kind: "mask" };
export const straightThrough: StraightThrough = { kind: "straight-through" };

/** The metadata key of roles. */
export const roleKey = "pith.role";

/** The settings of a surrogate, in their written order. */
const settings = ["low", "high", "slope"] as const;

/** Formats "parameter", "mask", "tied(embedding.weight, transposed)", "straight-through(low=-1, high=1)"; ambiguous names are quoted. */
export function roleText(role: Role): string {
  if (role.kind === "straight-through") {
    const words = settings.flatMap((name) => (role[name] === undefined ? [] : [`${name}=${role[name]}`]));
    return words.length === 0 ? role.kind : `${role.kind}(${words.join(", ")})`;
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

export function roleWords({ kind }: Role): string {
  return plainWords[kind];
}

/** Parses the output of `roleText`; undefined for other text. */
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

/** Parses `low=-1, high=1, slope=0.5`: each at most once, finite, in any order. */
function parseSurrogate(text: string): StraightThrough | undefined {
  const values: { low?: number; high?: number; slope?: number } = {};
  for (const part of text.split(",")) {
    const [, name, number] = /^\s*(\w+)\s*=\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*$/i.exec(part) ?? [];
    const setting = settings.find((each) => each === name);
    const value = Number(number);
    if (setting === undefined || !Number.isFinite(value) || values[setting] !== undefined) return undefined;
    values[setting] = value;
  }
  return { kind: "straight-through", ...values };
}

function unquoted(text: string): string | undefined {
  if (!text.startsWith('"')) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return undefined;
  }
}
