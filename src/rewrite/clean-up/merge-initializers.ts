/**
 * Stores equal tensors once, in all graphs. Larger copies in branches move to the outer graph; runtimes look for small constants in place. Tensors with roles (`protected-values.ts`) stay separate, and so do weights that are inputs of the model.
 */
import { infer } from "#analysis";
import type { Dense, Graph, Model, Tensor, Value } from "#ir";
import { allGraphs, allValues, bytesOf, bytesOfText, groupBy, hexadecimal, replaceUses } from "#ir";
import type { Change, Context } from "#pass";
import { cleanUpChange, defineCleanUp } from "./clean-up.ts";
import { protectedValues } from "./protected-values.ts";

const minMovedBytes = 1024;

export const mergeInitializers = defineCleanUp("merge-initializers", "Store equal tensors once", (model, context) =>
  merge(groupsOf(model), context),
);

/** Stores weights once if several branches hold copies. */
export async function mergeAcrossBranches(model: Model, context: Context): Promise<void> {
  const groups = groupsOf(model).filter((group) => new Set(group.map(({ graph }) => graph)).size > 1);
  await merge(groups, context);
}

async function merge(groups: readonly (readonly Value[])[], { signal }: Context): Promise<readonly Change[]> {
  const changes: Change[] = [];
  const names = new Map<Value, string>();
  for (const candidates of await splitByFirstBytes(groups)) {
    const byHash = new Map<string, readonly Value[]>();
    for (const value of candidates) {
      if (signal.aborted) return changes;
      if (value.tensor === undefined) continue;
      const { name, graph } = value;
      const hash = await tensorHash(value.tensor);
      const equalValues = byHash.get(hash) ?? [];
      const [first, ...more] = equalValues;
      const visible = equalValues.find((equal) => graph.sees(equal));
      const replacement = visible ?? moveOut(first, graph);
      if (replacement === undefined) {
        byHash.set(hash, [...equalValues, value]);
        continue;
      }
      if (visible === undefined) {
        byHash.set(hash, [replacement, ...more]);
        names.set(replacement, first?.name ?? replacement.name);
      }
      changes.push(cleanUpChange(name, `stored once, as "${replacement.name}"`, "duplicate constants merged"));
      replaceUses(value, replacement);
      graph.removeValue(value);
    }
  }
  for (const [value, name] of names) if (value.graph.freshName(name) === name) value.graph.rename(value, name);
  return changes;
}

/** Moves a stored tensor to the innermost graph that contains its graph and another graph; undefined if the tensor is too small. */
function moveOut(value: Value | undefined, graph: Graph): Value | undefined {
  if (value?.tensor === undefined || value.tensor.bytes < minMovedBytes) return undefined;
  const outerGraphs = new Set<Graph | undefined>();
  for (let outer: Graph | undefined = graph; outer !== undefined; outer = outer.parent?.graph) outerGraphs.add(outer);
  let commonGraph: Graph | undefined = value.graph;
  while (!outerGraphs.has(commonGraph)) commonGraph = commonGraph?.parent?.graph;
  const { name, tensor, role } = value;
  const result = commonGraph?.addTensor(name, tensor, role);
  if (commonGraph === undefined || result === undefined) return undefined;
  replaceUses(value, result);
  value.graph.removeValue(value);
  return result;
}

function groupsOf(model: Model): readonly (readonly Value[])[] {
  const isProtected = protectedValues(model, infer(model));
  const interfaceValues = new Set(
    [...allGraphs(model.graph)].flatMap(({ inputs, outputs }) => [...inputs, ...outputs]),
  );
  const storedValues = [...allValues(model.graph)].filter(
    (value) => value.tensor !== undefined && !interfaceValues.has(value) && !isProtected(value),
  );
  const groups = groupBy(storedValues, ({ tensor }) => `${tensor?.type} ${tensor?.dims.join(" ")} ${tensor?.bytes}`);
  return [...groups.values()].filter((group) => group.length > 1);
}

const startBytes = 64;

/** Few tensors of equal dimensions are equal, so their first bytes are compared before they are read completely. */
async function splitByFirstBytes(groups: readonly (readonly Value[])[]): Promise<readonly (readonly Value[])[]> {
  const starts = new Map<Value, string>();
  for (const value of groups.flat()) if (value.tensor !== undefined) starts.set(value, await startOf(value.tensor));
  const parts = groups.flatMap((group) => [...groupBy(group, (value) => starts.get(value)).values()]);
  return parts.filter((part) => part.length > 1);
}

async function startOf(tensor: Tensor): Promise<string> {
  const { stored, small } = tensor;
  if (small !== undefined || stored === undefined)
    return hexadecimal(elementBytes(small ?? (await tensor.read())).subarray(0, startBytes));
  return hexadecimal(await stored.source.read(stored.start, Math.min(stored.end, stored.start + startBytes)));
}

const elementBytes = (dense: Dense): Uint8Array =>
  dense.type === "string" ? bytesOfText(JSON.stringify(dense.data)) : bytesOf(dense);

/** Returns a hash of the elements, or the elements themselves if they are short. Types and shapes do not count. */
export async function tensorHash(tensor: Tensor): Promise<string> {
  const bytes = elementBytes(await tensor.read());
  return hexadecimal(bytes.length <= 64 ? bytes : new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.slice())));
}
