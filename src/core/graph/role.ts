/** Defines the roles of values. Files store them as metadata, every pass respects them, and `finalize` removes them. */

export type Role =
  | { readonly kind: "parameter" }
  /** Belongs to the model but is never trained. */
  | { readonly kind: "buffer" }
  /** A pruning mask of 0 and 1, which multiplies a parameter. It is never trained or folded. */
  | { readonly kind: "mask" }
  /** Carried over from run to run, such as running statistics and optimizer moments. */
  | { readonly kind: "state" }
  /** The same parameter as `name`, possibly transposed. The two are trained as one. */
  | Tied
  /**
   * The output of a node without a useful gradient (rounding, sign, comparison). The gradient for its first
   * input x is that of slope · clip(x, low, high). The slope is 1 and the bounds are infinite by default.
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
  /** Lower bound of x: below it, the gradient is 0. */
  readonly low?: number;
  /** Upper bound of x: above it, the gradient is 0. */
  readonly high?: number;
}

export const parameter: Role = { kind: "parameter" };
export const buffer: Role = { kind: "buffer" };
export const mask: Role = { kind: "mask" };
export const straightThrough: StraightThrough = { kind: "straight-through" };

/** The metadata key of roles. */
export const roleKey = "pith.role";

/** The settings of a straight-through gradient, in the order in which they are written. */
const settings = ["low", "high", "slope"] as const;

/** Formats a role as "parameter", "tied(embedding.weight, transposed)", "straight-through(low=-1, high=1)" and so on. Ambiguous names are quoted. */
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

/** Returns a description of a role for messages. */
export function roleWords({ kind }: Role): string {
  return plainWords[kind];
}

/** Parses the output of `roleText`; returns undefined for other text. */
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

/** Parses settings such as `low=-1, high=1, slope=0.5`. Each must occur at most once and be finite. The order is free. */
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
