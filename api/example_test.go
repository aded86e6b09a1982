package api_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/parley-llm/parley/api"
)

// A conversation, a prompt whose answer is waited for, and one whose answer comes as it is written.
func Example() {
	url, stop := start()
	defer stop()

	ctx := context.Background()
	client := &api.Client{BaseURL: url, APIKey: "secret"}

	conv, err := client.CreateConversation(ctx, api.NewConversation{Title: "Trip to Lisbon"})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := client.Respond(ctx, conv.ID, api.NewResponse{Prompt: api.Text("I am going to Lisbon.")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Status, answer.Model)

	for ev, err := range client.Stream(ctx, conv.ID, api.NewResponse{Prompt: api.Text("What did I say?")}) {
		if err != nil {
			log.Fatal(err)
		}
		if ev.Type == api.EventTextDelta {
			fmt.Print(ev.Delta)
		}
	}
	fmt.Println()
	// Output:
	// completed parley/echo
	// You said: "What did I say?"
}

func ExampleClient_AllMessages() {
	url, stop := start()
	defer stop()

	ctx := context.Background()
	client := &api.Client{BaseURL: url, APIKey: "secret"}
	conv, err := client.CreateConversation(ctx, api.NewConversation{Messages: []api.NewMessage{
		{Role: "user", Content: api.Text("Hello!")},
		{Role: "assistant", Content: api.Text("Good morning.")},
	}})
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range client.AllMessages(ctx, conv.ID, api.ListQuery{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", m.Role, m.Text())
	}
	// Output:
	// user: Hello!
	// assistant: Good morning.
}

// A failure is a Problem. Branch on its code.
func ExampleProblem() {
	url, stop := start()
	defer stop()

	client := &api.Client{BaseURL: url, APIKey: "secret"}
	_, err := client.Conversation(context.Background(), "conv_unknown")
	if p, ok := errors.AsType[*api.Problem](err); ok {
		fmt.Println(p.Status, p.Code, p.ShouldRetry)
		fmt.Println(p.Detail)
	}
	// Output:
	// 404 conversation_not_found false
	// There is no such conversation.
}

// A change that is made only if nobody else has changed the conversation meanwhile.
func ExampleClient_UpdateConversation() {
	url, stop := start()
	defer stop()

	ctx := context.Background()
	client := &api.Client{BaseURL: url, APIKey: "secret"}
	conv, err := client.CreateConversation(ctx, api.NewConversation{})
	if err != nil {
		log.Fatal(err)
	}
	changed, err := client.UpdateConversation(ctx, conv.ID, conv.Version, api.ConversationPatch{Title: api.Some("Lisbon in May")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(*changed.Title)

	_, err = client.UpdateConversation(ctx, conv.ID, conv.Version, api.ConversationPatch{Title: api.Null[string]()})
	fmt.Println(api.ErrorCode(err))
	// Output:
	// Lisbon in May
	// version_mismatch
}

// What the audit log kept of a prompt: masked.
func ExampleClient_AuditRecord() {
	url, stop := start()
	defer stop()

	ctx := context.Background()
	client := &api.Client{BaseURL: url, APIKey: "secret"}
	conv, err := client.CreateConversation(ctx, api.NewConversation{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Respond(ctx, conv.ID, api.NewResponse{Prompt: api.Text("I am jane.doe@example.com.")}); err != nil {
		log.Fatal(err)
	}
	for r, err := range client.AllAuditRecords(ctx, api.AuditQuery{ConversationID: conv.ID, Kind: "llm.intent"}) {
		if err != nil {
			log.Fatal(err)
		}
		if r, err = client.AuditRecord(ctx, r.ID); err != nil {
			log.Fatal(err)
		}
		fmt.Println(*r.Payloads[0].Text)
	}
	// Output:
	// I am [MASKED_EMAIL].
}

func ExampleClient_Mask() {
	url, stop := start()
	defer stop()

	client := &api.Client{BaseURL: url, APIKey: "secret"}
	m, err := client.Mask(context.Background(), "Write to jane.doe@example.com.")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Text)
	fmt.Println(m.Findings[0].Type, m.Findings[0].Start, m.Findings[0].End)
	// Output:
	// Write to [MASKED_EMAIL].
	// EMAIL 9 29
}

// Here the service is called as its users would; the key comes from the environment.
func ExampleClient() {
	client := &api.Client{BaseURL: "http://127.0.0.1:8000", APIKey: os.Getenv("PARLEY_API_KEY")}
	_ = client
}
