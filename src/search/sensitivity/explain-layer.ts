/** Explains what each technique does to a layer, and why channels cannot be removed (`pith inspect`). */
import { allLayers, channelGroups, type Group, infer, type Layer, outputSliceOf, selectLayers } from "#analysis";
import { elementCount, formatReason, groupBy, Miss, type Model, optionError, throwIfAborted } from "#ir";
import { type Context, completeContext } from "#pass";
import { withFreeChannels } from "../../rewrite/clean-up/free-channels.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { amountThatCuts, cutOrders } from "../../techniques/prune/cut-order.ts";
import { type SensitivityKind, sensitivityKinds } from "./sensitivity-record.ts";
import { applySetting, sweeps } from "./sweeps.ts";

export interface TechniqueExplanation {
  readonly kind: SensitivityKind;
  /** Mildest setting that changes the layer; undefined if no setting does. */
  readonly setting: number | undefined;
  readonly text: string;
}

export interface ChannelsExplanation {
  readonly count: number;
  /** Number of channels that can be removed. */
  readonly free: number;
  /** Number of channels that can be removed with `throughNorms`, which changes the statistics of normalizations. */
  readonly freeThroughNorms: number;
  /** Names of other layers that lose the same channels. */
  readonly together: readonly string[];
  /** Reasons why channels cannot be removed, each with the number of channels. */
  readonly reasons: readonly { readonly channels: number; readonly reason: string }[];
  /** The requested channel: the lowest amount (steps of 0.1 %) at which `prune` by magnitude removes it, or the reason why it never does. */
  readonly one?: { readonly channel: number; readonly from?: number; readonly reason?: string };
}

export interface Explanation {
  readonly layer: string;
  readonly operator: string;
  readonly dims: readonly number[];
  readonly parameters: number;
  /** Undefined if the outputs are not channels, for example of an embedding table or a layer in a subgraph. */
  readonly channels: ChannelsExplanation | undefined;
  readonly techniques: readonly TechniqueExplanation[];
}

/**
 * Tries each technique on one layer with the settings of `sensitivity`, and follows its channels through the graph. Uses no data.
 * @param channel An output channel of the layer, from 0.
 * @throws PithError E_NAME for an unknown layer, E_OPTION for an unknown channel.
 */
export async function explainLayer(
  model: Model,
  name: string,
  channel?: number,
  partialContext: Partial<Context> = {},
): Promise<Explanation> {
  const context: Context = { ...completeContext(partialContext), log: () => {}, progress: () => {} };
  const original = model.clone();
  storeWeights(original);
  const [layer] = selectLayers(allLayers(original, infer(original)), { layers: name });
  if (layer === undefined) throw new Error("internal: no layer was selected");
  const techniques: TechniqueExplanation[] = [];
  for (const kind of sensitivityKinds) {
    throwIfAborted(context.signal);
    techniques.push(await explainTechnique(layer, kind, original, context));
  }
  const { dims } = layer.weight.tensor ?? { dims: [] };
  return {
    layer: layer.name,
    operator: layer.node.op,
    dims,
    parameters: elementCount(dims),
    channels: await explainChannels(layer, channel, original, context),
    techniques,
  };
}

async function explainTechnique(
  { name }: Layer,
  kind: SensitivityKind,
  original: Model,
  context: Context,
): Promise<TechniqueExplanation> {
  let firstReason: string | undefined;
  for (const setting of sweeps[kind].settings) {
    const changes = await applySetting(kind, [name], setting, original.clone(), context);
    if (changes instanceof Miss) firstReason ??= formatReason(changes);
    else {
      const layerChange = changes.find(({ at }) => at === name) ?? changes[0];
      return { kind, setting, text: layerChange?.what ?? "" };
    }
  }
  return { kind, setting: undefined, text: firstReason ?? "nothing changes" };
}

async function explainChannels(
  { name }: Layer,
  channel: number | undefined,
  original: Model,
  context: Context,
): Promise<ChannelsExplanation | undefined> {
  const model = await withFreeChannels(original);
  const groups = channelGroups(model, infer(model));
  const parts = ownChannels(groups, name);
  const count = parts[0]?.unitOf.length ?? 0;
  if (channel !== undefined && channel >= count) {
    const channelsText = count === 0 ? "no output channels that could be told" : `the channels 0 to ${count - 1}`;
    throw optionError(`Layer "${name}" has ${channelsText}, got ${channel}.`);
  }
  if (count === 0) return undefined;
  const refusals = parts.flatMap(({ group, unitOf }) =>
    Array.from(unitOf).flatMap((unit) => group.refused.get(unit) ?? []),
  );
  const coupledLayers = new Set(parts.flatMap(({ group }) => group.layers.map((layer) => layer.name)));
  coupledLayers.delete(name);
  return {
    count,
    free: countFree(parts),
    freeThroughNorms: countFree(ownChannels(channelGroups(model, infer(model), { throughNorms: true }), name)),
    together: [...coupledLayers],
    reasons: Array.from(groupBy(refusals, formatReason), ([reason, members]) => ({ channels: members.length, reason })),
    ...(channel === undefined ? {} : { one: await explainChannel(model, groups, parts, name, channel, context) }),
  };
}

/** Output channels of a layer that belong to one pruning group. After a Split, channels of one layer can be in several groups. */
interface OwnChannels {
  readonly group: Group;
  readonly unitOf: Int32Array;
}

function ownChannels(groups: readonly Group[], name: string): readonly OwnChannels[] {
  return groups.flatMap((group) => {
    const layer = group.layers.find((layer) => layer.name === name);
    const unitOf = layer && outputSliceOf(group, layer)?.unitOf;
    return unitOf === undefined ? [] : [{ group, unitOf }];
  });
}

const countFree = (parts: readonly OwnChannels[]): number =>
  parts.reduce(
    (sum, { group, unitOf }) => sum + unitOf.filter((unit) => unit >= 0 && !group.refused.has(unit)).length,
    0,
  );

async function explainChannel(
  model: Model,
  groups: readonly Group[],
  parts: readonly OwnChannels[],
  name: string,
  channel: number,
  context: Context,
): Promise<NonNullable<ChannelsExplanation["one"]>> {
  const part = parts.find(({ unitOf }) => (unitOf[channel] ?? -1) >= 0);
  if (part === undefined) return { channel, reason: "nothing reads it that could be followed" };
  const refusal = part.group.refused.get(part.unitOf[channel] ?? -1);
  if (refusal !== undefined) return { channel, reason: formatReason(refusal) };
  const order = (await cutOrders(model, groups, {}, context)).get(name);
  const minAmount = order && amountThatCuts(order, channel);
  return minAmount === undefined
    ? { channel, reason: "its layer keeps at least one channel" }
    : { channel, from: minAmount };
}
