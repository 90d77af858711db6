import { bytesFor, elementCount, fixedDims, type Graph, subgraphs, type Value } from "#graph";

/** Returns the maximum bytes of values that exist at once, if nodes run in order and values are freed after their last use. */
export function peakBytes(graph: Graph): number {
  const nodes = [...graph.nodes()];
  const lastUses = new Map<Value, number>();
  const use = (inner: Graph, index: number): void => {
    for (const node of inner.nodes()) {
      for (const value of node.inputs) if (value?.graph === graph) lastUses.set(value, index);
      for (const body of subgraphs(node)) use(body, index);
    }
  };
  for (const [index, node] of nodes.entries()) {
    for (const value of [...node.inputs, ...node.outputs]) if (value?.graph === graph) lastUses.set(value, index);
    for (const body of subgraphs(node)) use(body, index);
  }
  const keptValues = new Set([...graph.inputs, ...graph.outputs]);
  const freedValues: Value[][] = nodes.map(() => []);
  for (const [value, index] of lastUses) if (!keptValues.has(value)) freedValues[index]?.push(value);
  const sum = (values: readonly (Value | undefined)[]): number =>
    values.reduce((total, value) => total + (value === undefined ? 0 : bytesOfValue(value)), 0);
  let bytes = sum(graph.inputs);
  let peak = bytes;
  for (const [index, node] of nodes.entries()) {
    bytes += sum(node.outputs);
    peak = Math.max(peak, bytes + Math.max(0, ...subgraphs(node).map(peakBytes)));
    bytes -= sum(freedValues[index] ?? []);
  }
  return peak;
}

export function bytesOfValue({ tensor, type }: Value): number {
  const dims = fixedDims(type?.dims);
  return tensor !== undefined || type === undefined || type.type === "string" || dims === undefined
    ? 0
    : bytesFor(type.type, elementCount(dims));
}
