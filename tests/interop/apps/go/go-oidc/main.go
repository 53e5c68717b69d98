// A portal with coreos/go-oidc and golang.org/x/oauth2, as the library's own example has it, with PKCE.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"net/url"
	"portals/portal"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

type visit struct {
	state, nonce, verifier, subject, idToken string
	token                                    *oauth2.Token
}

// AccessToken is what a service of the practice reads of one.
type AccessToken struct {
	Practice, Patient, Scope string
	Cnf                      any
}

// verify is in docs/howto/verify-tokens.md, line by line.
func verify(ctx context.Context, verifier *oidc.IDTokenVerifier, token string) (claims AccessToken, err error) {
	verified, err := verifier.Verify(ctx, token)
	if err != nil {
		return claims, err
	}
	var header struct{ Typ string }
	raw, _ := base64.RawURLEncoding.DecodeString(strings.SplitN(token, ".", 2)[0])
	if json.Unmarshal(raw, &header) != nil || !strings.EqualFold(header.Typ, "at+jwt") {
		return claims, errors.New("not an access token")
	}
	if err := verified.Claims(&claims); err != nil || claims.Practice != "maple" || claims.Cnf != nil {
		return claims, errors.New("not a token for this service")
	}
	return claims, nil
}

// service is a resource server beside the portal.
func service(provider *oidc.Provider) {
	verifier := provider.Verifier(&oidc.Config{ClientID: "practice-services", SupportedSigningAlgs: []string{"ES256"}})
	portal.Page("/api/me", func(w http.ResponseWriter, r *http.Request) (any, string, error) {
		claims, err := verify(r.Context(), verifier, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if err != nil {
			return nil, "", nil
		}
		return map[string]string{"patient": claims.Patient}, "", nil
	})
}

func main() {
	ctx, visits := context.Background(), portal.Visits[visit]{}
	provider, err := oidc.NewProvider(ctx, portal.Issuer)
	if err != nil {
		log.Fatal(err)
	}
	var metadata struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := provider.Claims(&metadata); err != nil {
		log.Fatal(err)
	}
	config := oauth2.Config{
		ClientID:     portal.ClientID,
		ClientSecret: portal.Secret,
		Endpoint:     provider.Endpoint(),
		RedirectURL:  portal.Here + "/callback",
		Scopes:       []string{oidc.ScopeOpenID, "contact:view"},
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: config.ClientID})
	service(provider)

	portal.Page("/login", func(w http.ResponseWriter, r *http.Request) (any, string, error) {
		v := visits.Of(w, r)
		v.state, v.nonce, v.verifier = rand.Text(), rand.Text(), oauth2.GenerateVerifier()
		return nil, config.AuthCodeURL(v.state, oidc.Nonce(v.nonce), oauth2.S256ChallengeOption(v.verifier)), nil
	})
	portal.Page("/callback", func(w http.ResponseWriter, r *http.Request) (any, string, error) {
		v, answer := visits.Of(w, r), r.URL.Query()
		if answer.Get("state") != v.state {
			return nil, "", errors.New("another state")
		}
		token, err := config.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(v.verifier))
		if err != nil {
			return nil, "", err
		}
		v.idToken, _ = token.Extra("id_token").(string)
		idToken, err := verifier.Verify(ctx, v.idToken)
		if err != nil {
			return nil, "", err
		}
		if idToken.Nonce != v.nonce {
			return nil, "", errors.New("another nonce")
		}
		if err := idToken.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, "", err
		}
		v.subject, v.token = idToken.Subject, token
		return nil, "/me", nil
	})
	portal.Page("/me", func(w http.ResponseWriter, r *http.Request) (any, string, error) {
		v := visits.Of(w, r)
		if v.subject == "" {
			return nil, "", nil
		}
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(v.token))
		if err != nil {
			return nil, "", err
		}
		var userinfo map[string]any
		err = info.Claims(&userinfo)
		return map[string]any{"sub": v.subject, "userinfo": userinfo}, "", err
	})
	portal.Page("/refresh", func(w http.ResponseWriter, r *http.Request) (any, string, error) {
		v := visits.Of(w, r)
		before := *v.token
		before.Expiry = time.Now().Add(-time.Hour) // the library refreshes what is over
		after, err := config.TokenSource(ctx, &before).Token()
		if err != nil {
			return nil, "", err
		}
		v.token = after
		return map[string]bool{"refreshed": after.AccessToken != before.AccessToken}, "", nil
	})
	// The library has nothing for sign-out; it is one redirect.
	portal.Page("/logout", func(w http.ResponseWriter, r *http.Request) (any, string, error) {
		v := visits.Of(w, r)
		v.subject = ""
		there := url.Values{"id_token_hint": {v.idToken}, "post_logout_redirect_uri": {portal.Here + "/bye"}}
		return nil, metadata.EndSession + "?" + there.Encode(), nil
	})
	portal.Page("/bye", func(w http.ResponseWriter, r *http.Request) (any, string, error) {
		return map[string]bool{"bye": visits.Of(w, r).subject == ""}, "", nil
	})
	portal.Serve()
}
