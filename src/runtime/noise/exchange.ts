/**
 * Joins two models in one graph, in which each cut value is computed by either model:
 *     y₁ = f₁(x); y₂ = f₂(y₁)        v₁ = Where(select[0], g₁(x), f₁(x)); v₂ = Where(select[1], g₂(v₁), f₂(v₁))
 *     z₁ = g₁(x); z₂ = g₂(z₁)
 */

import { infer, withFixedSeeds } from "#analysis";
import type { Batch, DataType, Model, Node, Value } from "#ir";
import { emitInto, extract, int64, Miss, mergeGraph, replaceReads, replaceUses, typeCodes } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { openRunner, type Samples } from "../run/run-over-samples.ts";
import type { Runner } from "../run/runner.ts";

/** Equal values of the original, and the values of the candidate that correspond to them. */
export interface ExchangePoint {
  readonly before: readonly string[];
  readonly after: readonly string[];
}

const selectName = "pith.select";
const whereOpset = 9;

/** Joins the models and loads the result. Returns a Miss if they cannot be joined. @throws PithError E_UNSUPPORTED, E_MODEL or E_ENGINE */
export async function loadExchange(
  engine: Engine,
  original: Model,
  candidate: Model,
  cuts: readonly ExchangePoint[],
  samples: Samples,
) {
  // Fixed draws keep the random numbers equal although values are renamed in the joined graph.
  const [host, guest] = [withFixedSeeds(original).clone(), withFixedSeeds(candidate).clone()];
  const version = Math.max(whereOpset, ...[host, guest].map(({ opsets }) => opsets.get("") ?? 1));
  for (const model of [host, guest]) {
    raiseOpset(model, version);
    infer(model);
  }
  host.header.irVersion = Math.max(host.header.irVersion, guest.header.irVersion);
  const { graph } = host;
  const emit = emitInto(host, { by: "exchange" });
  const castTo = (value: Value, to: DataType | undefined): Value => {
    if (to === undefined || to === "string" || value.type?.type === to) return value;
    const cast = emit.Cast([value], { to: typeCodes[to] });
    cast.type = { type: to, dims: value.type?.dims };
    return cast;
  };
  const guestInputs = new Map<Value, Value>();
  for (const input of guest.graph.feeds) {
    const hostInput = graph.feeds.find(({ name }) => name === input.name);
    if (hostInput === undefined) return new Miss(`the original has no input "${input.name}"`);
    guestInputs.set(input, castTo(hostInput, input.type?.type));
  }
  const mergedGraph = mergeGraph(host, guest, "candidate/", guestInputs);
  if (mergedGraph instanceof Miss) return mergedGraph;
  const select = graph.addInput(selectName, { type: "bool", dims: [cuts.length] });
  const ends: (readonly [Value, Value])[] = [];
  for (const [index, { before, after }] of cuts.entries()) {
    const [hostValue, ...hostCopies] = before.flatMap((name) => graph.value(name) ?? []);
    const [first, ...equal] = after.flatMap((name) => mergedGraph.values.get(name) ?? []);
    if (hostValue === undefined || first === undefined) return new Miss(`"${before[0]}" is not in both models`);
    const isSelected = emit.Gather([select, emit.constant(int64([], [index]))], { axis: 0 });
    // The runtime has no Where for narrower floats.
    const wideType = hostValue.type?.type === "float64" ? "float64" : "float32";
    const [hostFloat, guestFloat] = [castTo(hostValue, wideType), castTo(first, wideType)];
    const chosenValue = emit.Where([isSelected, guestFloat, hostFloat]);
    chosenValue.type = { type: wideType, dims: hostValue.type?.dims };
    const firstReader = (from: Value, cast: Value): Node | undefined => (from === cast ? chosenValue : cast).producer;
    const castBack = castTo(chosenValue, hostValue.type?.type);
    if (graph.isOutput(hostValue)) replaceUses(hostValue, castBack, firstReader(hostValue, hostFloat));
    else replaceReads(hostValue, castBack, firstReader(hostValue, hostFloat));
    for (const copy of hostCopies) replaceReads(copy, castBack);
    const forward = castTo(chosenValue, first.type?.type);
    replaceReads(first, forward, firstReader(first, guestFloat));
    for (const copy of equal) replaceReads(copy, forward);
    ends.push([hostFloat, guestFloat]);
  }
  const outputValues = [...new Set([...graph.outputs, ...ends.flat()])];
  const joinedModel = extract(host, outputValues);
  const names = new Map(outputValues.map((value, index) => [value, joinedModel.graph.outputs[index]?.name ?? ""]));
  const session = await engine.load(joinedModel, { optimize: false, spinning: false });
  const outputs = original.graph.outputs.flatMap(({ name, foreign }) =>
    foreign?.type === undefined && foreign?.container === undefined ? [name] : [],
  );
  const nameOf = (value: Value): string => names.get(value) ?? "";
  return {
    names: ends.map(([hostEnd, guestEnd]) => ({ original: nameOf(hostEnd), candidate: nameOf(guestEnd) })),
    /** Runs with the selected cuts computed by the candidate. */
    async runner(selectedCuts: ReadonlySet<number>, observedNames: readonly string[]): Promise<Runner> {
      const data = Uint8Array.from(cuts, (_, index) => Number(selectedCuts.has(index)));
      const fetchedNames = [...new Set([...outputs, ...observedNames])];
      const run = (feeds: Batch): Promise<Batch> =>
        session.run({ ...feeds, [selectName]: { type: "bool", dims: [data.length], data } }, fetchedNames);
      // All runners share one session, but each has separate recurrent states.
      return openRunner({ load: async () => ({ run, release: async () => {} }) }, original, samples, undefined, {});
    },
    release: (): Promise<void> => session.release(),
  };
}
