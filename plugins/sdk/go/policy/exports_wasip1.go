package policy

import (
	hostHooks "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_hook_types"
	hostLifecycle "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_lifecycle"
	hostPolicy "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_message_policy"
	hostTypes "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_types"
	_ "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wit_exports" // what the host calls
	"github.com/wasmilter/wasmilter/plugins/sdk/go/internal/exports"
	witTypes "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/wit/types"
)

func init() {
	exports.Describe = describe
	exports.Configure = func(config string) witTypes.Result[witTypes.Unit, []hostLifecycle.Problem] {
		problems := configure(config, exports.Methods)
		if len(problems) == 0 {
			return witTypes.Ok[witTypes.Unit, []hostLifecycle.Problem](witTypes.Unit{})
		}
		return witTypes.Err[witTypes.Unit](mapped(problems, func(problem Problem) hostLifecycle.Problem {
			return hostLifecycle.Problem(problem)
		}))
	}
	exports.Decide = func() witTypes.Result[hostPolicy.Decision, hostTypes.Failure] {
		return answered(func(policy Decider) (*Decision, error) { return policy.Decide(&Message{}) }, lowerDecision)
	}
	exports.Connect = func() exports.HookResult {
		return answered(func(policy ConnectHook) (*HookDecision, error) { return policy.Connect(&Transaction{}) }, lowerHook)
	}
	exports.Helo = func() exports.HookResult {
		return answered(func(policy HeloHook) (*HookDecision, error) { return policy.Helo(&Transaction{}) }, lowerHook)
	}
	exports.Mail = func() exports.HookResult {
		return answered(func(policy MailHook) (*HookDecision, error) { return policy.Mail(&Transaction{}) }, lowerHook)
	}
	exports.Rcpt = func(recipient hostTypes.Mailbox) exports.HookResult {
		return answered(func(policy RcptHook) (*HookDecision, error) {
			return policy.Rcpt(&Transaction{}, Mailbox(recipient))
		}, lowerHook)
	}
}

func describe() hostLifecycle.PluginInfo {
	info := registered.info
	return hostLifecycle.PluginInfo{
		Name: info.Name, Version: info.Version, Summary: info.Summary, Licence: info.Licence, HomePage: info.HomePage,
		Grants: info.Grants, ConfigSchema: info.Schema,
	}
}

// answered asks the policy and gives its answer to the host.
func answered[H, D, L any](call func(policy H) (D, error), lower func(D) L) witTypes.Result[L, hostTypes.Failure] {
	decision, err := ask(call, lower)
	if err != nil {
		failure := failureOf(err)
		return witTypes.Err[L](hostTypes.Failure{Kind: uint8(failure.Kind), Detail: failure.Detail})
	}
	return witTypes.Ok[L, hostTypes.Failure](decision)
}

func lowerDecision(decision *Decision) hostPolicy.Decision {
	if decision == nil {
		decision = Next()
	}
	return hostPolicy.Decision{
		Verdict: lowerVerdict(decision),
		Edits:   mapped(decision.Edits, lowerEdit),
		Facts:   mapped(decision.Facts, lowerFact),
	}
}

func lowerVerdict(decision *Decision) hostTypes.Verdict {
	switch decision.Verdict {
	case VerdictNext:
		return hostTypes.MakeVerdictNext()
	case VerdictAccept:
		return hostTypes.MakeVerdictAccept()
	case VerdictReject:
		return hostTypes.MakeVerdictReject(lowerReply(decision.Reply))
	case VerdictTempfail:
		return hostTypes.MakeVerdictTempfail(lowerReply(decision.Reply))
	case VerdictDiscard:
		return hostTypes.MakeVerdictDiscard()
	case VerdictQuarantine:
		return hostTypes.MakeVerdictQuarantine(decision.Reason)
	}
	panic("there is no such " + decision.Verdict.String())
}

func lowerHook(decision *HookDecision) hostHooks.HookDecision {
	if decision == nil {
		decision = HookNext()
	}
	lowered := hostHooks.HookDecision{Facts: mapped(decision.Facts, lowerFact)}
	switch decision.Verdict {
	case VerdictNext:
		lowered.Verdict = hostHooks.MakeHookVerdictNext()
	case VerdictReject:
		lowered.Verdict = hostHooks.MakeHookVerdictReject(lowerReply(decision.Reply))
	case VerdictTempfail:
		lowered.Verdict = hostHooks.MakeHookVerdictTempfail(lowerReply(decision.Reply))
	default:
		panic("a hook can not answer " + decision.Verdict.String())
	}
	return lowered
}

func lowerReply(reply Reply) hostTypes.Reply {
	return hostTypes.Reply{Code: uint32(reply.Code), Enhanced: reply.Enhanced, Text: reply.Text}
}

func lowerFact(fact Fact) hostTypes.Fact {
	switch value := fact.Value.(type) {
	case bool:
		return hostTypes.Fact{Name: fact.Name, Value: hostTypes.MakeFactValueFlag(value)}
	case float64:
		return hostTypes.Fact{Name: fact.Name, Value: hostTypes.MakeFactValueNumber(value)}
	case string:
		return hostTypes.Fact{Name: fact.Name, Value: hostTypes.MakeFactValueText(value)}
	case []string:
		return hostTypes.Fact{Name: fact.Name, Value: hostTypes.MakeFactValueTexts(value)}
	}
	panic("the fact " + fact.Name + " is none of bool, float64, string, []string")
}

func lowerEdit(edit Edit) hostPolicy.Edit {
	switch edit := edit.(type) {
	case AddHeader:
		return hostPolicy.MakeEditAddHeader(hostPolicy.NewHeader(edit))
	case InsertHeader:
		return hostPolicy.MakeEditInsertHeader(hostPolicy.NewHeader(edit))
	case ReplaceHeader:
		return hostPolicy.MakeEditReplaceHeader(hostPolicy.HeaderReplacement{
			Name: edit.Name, Occurrence: uint32(edit.Occurrence), Value: edit.Value,
		})
	case RemoveHeader:
		return hostPolicy.MakeEditRemoveHeader(hostPolicy.HeaderOccurrence{
			Name: edit.Name, Occurrence: uint32(edit.Occurrence),
		})
	case SetSubject:
		return hostPolicy.MakeEditSetSubject(edit.Text)
	case ReplacePart:
		return hostPolicy.MakeEditReplacePart(hostPolicy.PartReplacement{
			Part: uint32(edit.Part), Replacement: lowerPart(edit.By),
		})
	case RemovePart:
		return hostPolicy.MakeEditRemovePart(uint32(edit.Part))
	case AddPart:
		return hostPolicy.MakeEditAddPart(lowerPart(edit.Part))
	case AppendText:
		return hostPolicy.MakeEditAppendText(hostPolicy.Annotation{Plain: edit.Plain, Html: edit.HTML})
	case PrependText:
		return hostPolicy.MakeEditPrependText(hostPolicy.Annotation{Plain: edit.Plain, Html: edit.HTML})
	case ReplaceContent:
		return hostPolicy.MakeEditReplaceContent(hostPolicy.Entity{
			Headers: mapped(edit.Headers, func(field NewHeader) hostPolicy.NewHeader { return hostPolicy.NewHeader(field) }),
			Body:    lowerContent(edit.Body),
		})
	case SetSender:
		return hostPolicy.MakeEditSetSender(hostPolicy.NewAddress(edit))
	case AddRecipient:
		return hostPolicy.MakeEditAddRecipient(hostPolicy.NewAddress(edit))
	case RemoveRecipient:
		return hostPolicy.MakeEditRemoveRecipient(edit.Address)
	case SetClient:
		return hostPolicy.MakeEditSetClient(hostPolicy.NewClient{
			Address: edit.Client.Address, Port: uint32(edit.Client.Port),
			Hostname: edit.Client.Hostname, Helo: edit.Client.Helo,
		})
	}
	panic("an edit is nil or a pointer")
}

func lowerPart(part NewPart) hostPolicy.NewPart {
	return hostPolicy.NewPart{
		MediaType: part.MediaType, FileName: part.FileName, Disposition: part.Disposition, ContentId: part.ContentID,
		Content: lowerContent(part.Content),
	}
}

func lowerContent(content Content) hostPolicy.Content {
	if content.blob > 0 {
		return hostPolicy.MakeContentBlob(uint32(content.blob - 1))
	}
	return hostPolicy.MakeContentInline(content.bytes)
}
