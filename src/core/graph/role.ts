/** Defines the roles of values, such as parameter or mask. Files store roles as metadata. */

export type Role =
  | { readonly kind: "parameter" }
  /** Belongs to the model but is never trained. */
  | { readonly kind: "buffer" }
  /** A pruning mask of 0 and 1, which multiplies a parameter. */
  | { readonly kind: "mask" }
  /** Training state, such as running statistics and optimizer moments. */
  | { readonly kind: "state" }
  /** The same parameter as `name`, possibly transposed. */
  | Tied
  /** The output of a node without a useful gradient, such as rounding. Training uses that of slope · clip(x, low, high). */
  | StraightThrough;

export interface Tied {
  readonly kind: "tied";
  readonly name: string;
  readonly transposed: boolean;
}

export interface StraightThrough {
  readonly kind: "straight-through";
  readonly slope?: number;
  readonly low?: number;
  readonly high?: number;
}

export const parameter: Role = { kind: "parameter" };
export const buffer: Role = { kind: "buffer" };
export const mask: Role = { kind: "mask" };
export const straightThrough: StraightThrough = { kind: "straight-through" };

export const roleKey = "pith.role";

/** The settings of a straight-through gradient, in the order of the text. */
const settings = ["low", "high", "slope"] as const;

/** Formats a role, for example as "tied(embedding.weight, transposed)" or "straight-through(low=-1, high=1)". */
export function roleText(role: Role): string {
  if (role.kind === "straight-through") {
    const settingTexts = settings.flatMap((name) => (role[name] === undefined ? [] : [`${name}=${role[name]}`]));
    return settingTexts.length === 0 ? role.kind : `${role.kind}(${settingTexts.join(", ")})`;
  }
  if (role.kind !== "tied") return role.kind;
  const name = /^"|, transposed$/.test(role.name) ? JSON.stringify(role.name) : role.name;
  return `tied(${name}${role.transposed ? ", transposed" : ""})`;
}

const descriptions = {
  parameter: "trainable",
  buffer: "frozen",
  mask: "a pruning mask",
  state: "training state",
  tied: "tied to another tensor",
  "straight-through": "fake quantization",
} as const;

export function describeRole({ kind }: Role): string {
  return descriptions[kind];
}

export function parseRole(text: string): Role | undefined {
  switch (text) {
    case "parameter":
    case "buffer":
    case "mask":
    case "state":
    case "straight-through":
      return { kind: text };
  }
  const [, settingsText] = /^straight-through\((.*)\)$/s.exec(text) ?? [];
  if (settingsText !== undefined) return parseStraightThrough(settingsText);
  const [, nameText, transposed] = /^tied\((.*?)(, transposed)?\)$/s.exec(text) ?? [];
  const name = nameText === undefined ? undefined : unquote(nameText);
  return name === undefined ? undefined : { kind: "tied", name, transposed: transposed !== undefined };
}

/** Parses settings such as `low=-1, high=1, slope=0.5`; undefined if a setting occurs twice or is not a finite number. */
function parseStraightThrough(text: string): StraightThrough | undefined {
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

function unquote(text: string): string | undefined {
  if (!text.startsWith('"')) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return undefined;
  }
}
