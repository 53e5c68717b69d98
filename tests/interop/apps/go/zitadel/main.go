// A portal with zitadel/oidc: its own handlers for sign-in, with PKCE and userinfo.
package main

import (
	"context"
	"crypto/rand"
	"log"
	"net/http"
	"portals/portal"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
)

type visit struct {
	tokens *oidc.Tokens[*oidc.IDTokenClaims]
	info   *oidc.UserInfo
}

func main() {
	ctx, visits, key := context.Background(), portal.Visits[visit]{}, []byte(rand.Text()[:16])
	cookies := httphelper.NewCookieHandler(key, key)
	scopes := []string{"openid", "profile", "email", "contact:view"}
	party, err := rp.NewRelyingPartyOIDC(ctx, portal.Issuer, portal.ClientID, portal.Secret, portal.Here+"/callback",
		scopes, rp.WithCookieHandler(cookies), rp.WithPKCE(cookies),
		rp.WithAuthStyle(oauth2.AuthStyleInParams)) // it refreshes so, whatever it did before
	if err != nil {
		log.Fatal(err)
	}

	http.Handle("/login", rp.AuthURLHandler(rand.Text, party))
	http.Handle("/callback", rp.CodeExchangeHandler(rp.UserinfoCallback(func(w http.ResponseWriter, r *http.Request,
		tokens *oidc.Tokens[*oidc.IDTokenClaims], _ string, _ rp.RelyingParty, info *oidc.UserInfo) {
		*visits.Of(w, r) = visit{tokens, info}
		http.Redirect(w, r, "/me", http.StatusFound)
	}), party))
	portal.Page("/me", func(w http.ResponseWriter, r *http.Request) (any, string, error) {
		v := visits.Of(w, r)
		if v.tokens == nil {
			return nil, "", nil
		}
		return map[string]any{"sub": v.tokens.IDTokenClaims.Subject, "userinfo": v.info}, "", nil
	})
	portal.Page("/refresh", func(w http.ResponseWriter, r *http.Request) (any, string, error) {
		v := visits.Of(w, r)
		before := v.tokens.AccessToken
		after, err := rp.RefreshTokens[*oidc.IDTokenClaims](ctx, party, v.tokens.RefreshToken, "", "")
		if err != nil {
			return nil, "", err
		}
		v.tokens = after
		return map[string]bool{"refreshed": after.AccessToken != before}, "", nil
	})
	// The library asks by itself, and is told where the browser has to go.
	portal.Page("/logout", func(w http.ResponseWriter, r *http.Request) (any, string, error) {
		v := visits.Of(w, r)
		there, err := rp.EndSession(ctx, party, v.tokens.IDToken, portal.Here+"/bye", "", "", nil)
		if err != nil {
			return nil, "", err
		}
		*v = visit{}
		return nil, there.String(), nil
	})
	portal.Page("/bye", func(w http.ResponseWriter, r *http.Request) (any, string, error) {
		return map[string]bool{"bye": visits.Of(w, r).tokens == nil}, "", nil
	})
	portal.Serve()
}
