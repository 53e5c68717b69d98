// Package portal has what the portals of this folder have in common: a visit per browser, and JSON.
//
//	ISSUER, CLIENT_ID, CLIENT_SECRET, URL, PORT   as in apps/python/portal.py
package portal

import (
	"crypto/rand"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"sync"
)

var (
	Issuer, ClientID, Secret = os.Getenv("ISSUER"), os.Getenv("CLIENT_ID"), os.Getenv("CLIENT_SECRET")
	Here                     = os.Getenv("URL")
)

// Visits are what the portal keeps of browsers, a T of each.
type Visits[T any] struct {
	mutex sync.Mutex
	found map[string]*T
}

// Of is the visit of this browser.
func (v *Visits[T]) Of(w http.ResponseWriter, r *http.Request) *T {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if cookie, err := r.Cookie("visit"); err == nil && v.found[cookie.Value] != nil {
		return v.found[cookie.Value]
	}
	if v.found == nil {
		v.found = map[string]*T{}
	}
	id := rand.Text()
	v.found[id] = new(T)
	http.SetCookie(w, &http.Cookie{
		Name: "visit", Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	return v.found[id]
}

// Page answers with JSON, with a redirect where the handler names an address, or with 401 where it knows nothing.
func Page(path string, handle func(w http.ResponseWriter, r *http.Request) (document any, there string, err error)) {
	http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		document, there, err := handle(w, r)
		switch {
		case err != nil:
			log.Print(err)
			http.Error(w, "it failed", http.StatusInternalServerError)
		case there != "":
			http.Redirect(w, r, there, http.StatusFound)
		case document == nil:
			http.Error(w, "nobody", http.StatusUnauthorized)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(document)
		}
	})
}

// Serve listens behind the proxy that speaks TLS.
func Serve() {
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
