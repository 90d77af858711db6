/** Selects layers by the names, patterns and operator types in options. */
import type { Graph, Node } from "#graph";
import { allNodes, nearest, nodeName, optionError, PithError, sortBySimilarity, truncateList } from "#graph";

export interface Selection {
  /** Names of layers or of their nodes, patterns, or operator types: "fc1", "layer1.*", "Conv". Default: all. */
  readonly layers?: string | readonly string[] | undefined;
  /** Can also name nodes without a weight. */
  readonly except?: string | readonly string[] | undefined;
  /** Options by layer name, pattern or operator type. */
  readonly overrides?: Readonly<Record<string, object>> | undefined;
  /** Names of layers that a technique does not support. */
  readonly unfit?: ReadonlySet<string>;
}

interface Selectable {
  readonly name: string;
  readonly node?: Node;
}

/** Returns the selected layers. @throws PithError E_NAME if a pattern matches nothing; E_OPTION if `except` excludes all of `layers`. */
export function selectLayers<L extends Selectable>(all: readonly L[], selection: Selection): readonly L[] {
  const patterns = splitPatterns(selection.layers);
  const excludedPatterns = splitPatterns(selection.except);
  for (const pattern of [...(patterns ?? []), ...(excludedPatterns ?? [])]) {
    if (all.some((layer) => matchesLayer([pattern], layer))) continue;
    if (excludedPatterns?.includes(pattern) === true && nodesAround(all).some((node) => matchesNode([pattern], node)))
      continue;
    const names = [...new Set(all.map(({ name }) => name))];
    throw new PithError("E_NAME", `No layer is called "${pattern}".`, { hint: namesHint(pattern, names) });
  }
  for (const pattern of Object.keys(selection.overrides ?? {})) {
    if (all.some(({ name, node }) => matches(pattern, name) || pattern === node?.op)) continue;
    const names = [...new Set(all.map(({ name }) => name))];
    const text = `\`overrides\`: no layer or operator type is called "${pattern}".`;
    throw new PithError("E_NAME", text, { hint: namesHint(pattern, names) });
  }
  const selectedLayers = all.filter(
    (layer) => (patterns === undefined || matchesLayer(patterns, layer)) && !excludesLayer(selection, layer),
  );
  if (selectedLayers.length === 0 && patterns !== undefined && excludedPatterns !== undefined)
    throw optionError('No layer is left: "except" names every layer that "layers" names.');
  return selectedLayers.filter(({ name }) => selection.unfit?.has(name) !== true);
}

/**
 * Returns the options of a layer. Overrides by operator type replace the options of the pass, and overrides by name replace both.
 * @param exclusive Options that exclude each other: an override that sets one of them unsets the others.
 */
export function optionsOfLayer<O extends Pick<Selection, "overrides">>(
  options: O,
  { name, node }: { readonly name: string; readonly node?: Pick<Node, "op"> },
  exclusive: readonly string[] = [],
): { readonly options: O; readonly decidedBy: "global" | "op" | "layer" } {
  const overrides = Object.entries(options.overrides ?? {});
  const layerOverrides = overrides.filter(([pattern]) => matches(pattern, name));
  const operatorOverrides = overrides.filter(([pattern]) => pattern === node?.op && !matches(pattern, name));
  const unsetOptions = Object.fromEntries(exclusive.map((option) => [option, undefined]));
  const optionSets = [...operatorOverrides, ...layerOverrides].flatMap(([, values]) =>
    exclusive.some((option) => Reflect.get(values, option) !== undefined) ? [unsetOptions, values] : [values],
  );
  const mergedOptions: O = Object.assign({}, options, ...optionSets);
  return {
    options: mergedOptions,
    decidedBy: layerOverrides.length > 0 ? "layer" : operatorOverrides.length > 0 ? "op" : "global",
  };
}

const maxHintNames = 12;

/** Returns a hint such as `Did you mean "fc1"? Layers: fc1, fc2.`. */
function namesHint(pattern: string, names: readonly string[]): string {
  if (names.length === 0) return "The model has no layers with a weight.";
  const suggestion = nearest(pattern, names);
  // No name is suggested if several names are equally similar.
  const isUnique = suggestion === nearest(pattern, names.toReversed());
  const question = suggestion === undefined || !isUnique ? "" : `Did you mean "${suggestion}"? `;
  const sortedNames = sortBySimilarity(pattern, names);
  return `${question}Layers: ${truncateList(sortedNames, maxHintNames)}.`;
}

const matchesLayer = (patterns: readonly string[] | undefined, { name, node }: Selectable): boolean =>
  matchesName(patterns, name) || (node !== undefined && matchesNode(patterns, node));

const matchesNode = (patterns: readonly string[] | undefined, node: Node): boolean =>
  matchesName(patterns, nodeName(node)) || patterns?.some((pattern) => pattern === node.op) === true;

function nodesAround([first]: readonly Selectable[]): readonly Node[] {
  let graph: Graph | undefined = first?.node?.graph;
  while (graph?.parent !== undefined) graph = graph.parent.graph;
  return graph === undefined ? [] : [...allNodes(graph)];
}

export const excludesNode = ({ except }: Selection, node: Node): boolean => matchesNode(splitPatterns(except), node);

export const excludesLayer = ({ except }: Selection, layer: Selectable): boolean =>
  matchesLayer(splitPatterns(except), layer);

export function matchesName(patterns: Selection["layers"], name: string): boolean {
  return (splitPatterns(patterns) ?? []).some((pattern) => matches(pattern, name));
}

function matches(pattern: string, name: string): boolean {
  const escapedParts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${escapedParts.join(".*")}$`).test(name);
}

function splitPatterns(patterns: string | readonly string[] | undefined): readonly string[] | undefined {
  if (patterns === undefined) return undefined;
  return typeof patterns === "string" ? patterns.split(",").map((pattern) => pattern.trim()) : patterns;
}
