/** Repeats all clean-ups until no clean-up changes the model. They keep values with roles, so that a model in training stays trainable. */
import * as v from "valibot";
import { allNodes, asPithError, joinList, type Model, PithError, schemaAt, snapshot, throwIfAborted } from "#ir";
import { type Change, type Context, definePass, didYouMean, type Outcome, withHelp } from "#pass";
import { rulesById } from "../../core/ops/rules/index.ts";
import { raiseOpset } from "../edit/raise-opset.ts";
import { dropDeadChannelsDescription } from "./clean-up.ts";
import { deduplicate } from "./deduplicate.ts";
import { dropNotes } from "./drop-notes.ts";
import { dropUnused } from "./drop-unused.ts";
import { finalize } from "./finalize.ts";
import { fixDimensions, fixOption } from "./fix-dimensions.ts";
import { foldConstants } from "./fold-constants.ts";
import { foldShapes } from "./fold-shapes.ts";
import { fuseAffine } from "./fuse-batch-norm.ts";
import { fuseNodes, ruleOptions, selectsRule } from "./fuse-nodes.ts";
import { inlineFunctions } from "./inline-functions.ts";
import { keepOption, keepOutputs } from "./keep-outputs.ts";
import { mergeInitializers } from "./merge-initializers.ts";
import { removeIdentities } from "./remove-identities.ts";
import { resolveConditions } from "./resolve-conditions.ts";
import { setInputs, setOption } from "./set-inputs.ts";
import { storeConstants } from "./store-constants.ts";

const cleanUps = [
  inlineFunctions,
  storeConstants,
  foldShapes,
  resolveConditions,
  foldConstants,
  removeIdentities,
  fuseAffine,
  fuseNodes,
  deduplicate,
  mergeInitializers,
  dropUnused,
  dropNotes,
];

/** Maps the ids that `only` and `skip` accept to descriptions. */
export const ruleDescriptions: ReadonlyMap<string, string> = new Map([
  ...[...rulesById.values()].map(({ id, description }) => [id, description] as const),
  ...cleanUps.flatMap(({ id, summary }) => (id === fuseNodes.id ? [] : [[id, summary] as const])),
  [dropDeadChannelsDescription.id, dropDeadChannelsDescription.summary],
]);

/** More rounds mean that two passes undo each other, a bug. */
const maxRounds = 50;

/**
 * Simplifies a model in place: folds constants, fuses nodes, removes identities and constant channels, and drops export metadata.
 * On request, it first fixes dimensions, sets inputs, selects outputs, and removes roles (`finalize`).
 * @throws PithError E_NAME for inputs, dimensions or outputs that do not exist, E_STOPPED on the context's signal.
 * @example
 * const { changes } = await simplify(model, { set: { sr: 16000 }, fix: { batch: 1 } });
 */
export const simplify = definePass({
  id: "simplify",
  summary: "Compute the same function with fewer nodes",
  options: v.strictObject({
    set: setOption,
    fix: fixOption,
    keepOutputs: keepOption,
    ...ruleOptions,
    raise: withHelp(
      v.optional(v.boolean(), false),
      "raise the operator set if this allows fewer nodes (attention, rotary embedding)",
    ),
    finalize: withHelp(v.optional(v.boolean(), false), "after training and pruning: fold masks, remove training roles"),
  }),
  async run(model, { set, fix, keepOutputs: outputs, finalize: shouldFinalize, raise, ...rules }, context) {
    const unknown = [...(rules.only ?? []), ...rules.skip].find((id) => !ruleDescriptions.has(id));
    if (unknown !== undefined) {
      const ids = [...ruleDescriptions.keys()];
      throw new PithError("E_NAME", `There is no rule "${unknown}".`, {
        hint: didYouMean(unknown, ids) ?? `The rules are ${joinList(ids)}.`,
      });
    }
    const requestedOutcomes: Outcome[] = [
      // Dimensions come first: they determine how many elements `set` needs.
      await fixDimensions(model, { fix }, context),
      await setInputs(model, { set }, context),
      await keepOutputs(model, { outputs }, context),
      ...(shouldFinalize ? [await finalize(model, {}, context)] : []),
    ];
    const outcome =
      (raise && (await simplifyRaised(model, rules, context))) || (await repeatCleanUps(model, rules, context));
    return { changes: [...requestedOutcomes, outcome].flatMap(({ changes }) => changes), misses: outcome.misses };
  },
});

interface Rules {
  readonly only?: string[] | undefined;
  readonly skip: string[];
}

/** Opset of the operators Attention, RotaryEmbedding and RMSNormalization. */
const fusedOpset = 23;

/** Simplifies in a raised opset. Returns undefined, without a change, if no rule writes an operator of that opset, or a node keeps the opset. */
export async function simplifyRaised(model: Model, rules: Rules, context: Context): Promise<Outcome | undefined> {
  const olderOpset = Math.min(model.opsets.get("") ?? 1, fusedOpset - 1);
  const countNew = (): number =>
    [...allNodes(model.graph)].filter(
      ({ domain, op }) => domain === "" && schemaAt(domain, op, olderOpset) === undefined,
    ).length;
  const before = countNew();
  const restore = snapshot(model);
  try {
    raiseOpset(model, fusedOpset);
  } catch (error) {
    asPithError(error);
    return undefined;
  }
  const outcome = await repeatCleanUps(model, rules, context);
  if (countNew() > before) return outcome;
  restore();
  return undefined;
}

async function repeatCleanUps(model: Model, rules: Rules, context: Context): Promise<Outcome> {
  const isSelected = selectsRule(rules);
  const selectedPasses = cleanUps.filter(({ id }) => id === fuseNodes.id || isSelected(id));
  const changes: Change[] = [];
  let misses: Outcome["misses"] = [];
  for (let round = 0; round < maxRounds; round++) {
    let changeCount = 0;
    misses = [];
    for (const [done, pass] of selectedPasses.entries()) {
      throwIfAborted(context.signal);
      const outcome = await (pass === fuseNodes ? fuseNodes(model, rules, context) : pass(model, {}, context));
      context.progress(done + 1, selectedPasses.length);
      changes.push(...outcome.changes.map((change) => ({ rule: pass.id, ...change })));
      misses = [...misses, ...outcome.misses];
      changeCount += outcome.changes.length;
    }
    if (changeCount > 0) continue;
    if (!isSelected(dropDeadChannelsDescription.id)) return { changes, misses };
    // Reads every weight, so it runs last.
    const { dropDeadChannels } = await import("./drop-dead-channels.ts");
    const removal = await dropDeadChannels(model, {}, context);
    changes.push(...removal.changes.map((change) => ({ rule: dropDeadChannelsDescription.id, ...change })));
    misses = [...misses, ...removal.misses];
    if (removal.changes.length === 0) return { changes, misses };
  }
  throw new Error("simplify does not converge");
}
