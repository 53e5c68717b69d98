package authsvc.portal;

import static org.springframework.security.config.Customizer.withDefaults;

import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.time.Duration;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.core.annotation.Order;
import org.springframework.http.HttpMethod;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.core.Authentication;
import org.springframework.security.oauth2.client.OAuth2AuthorizeRequest;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClient;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientProviderBuilder;
import org.springframework.security.oauth2.client.oidc.web.logout.OidcClientInitiatedLogoutSuccessHandler;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizedClientRepository;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.servlet.util.matcher.PathPatternRequestMatcher;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A portal, and below /api a resource server, with Spring Security as it is. */
@SpringBootApplication
@RestController
public class Portal {

  public static void main(String[] words) {
    Map<String, String> env = System.getenv();
    String registration = "spring.security.oauth2.client.registration.authsvc.";
    SpringApplication.run(
        Portal.class,
        Stream.of(
                "server.address=127.0.0.1",
                "server.port=" + env.get("PORT"),
                "server.forward-headers-strategy=framework",
                "spring.security.oauth2.client.provider.authsvc.issuer-uri=" + env.get("ISSUER"),
                registration + "client-id=" + env.get("CLIENT_ID"),
                registration + "client-secret=" + env.get("CLIENT_SECRET"),
                registration + "scope=openid,profile,email,contact:view")
            .map(setting -> "--" + setting)
            .toArray(String[]::new));
  }

  @Bean
  SecurityFilterChain pages(HttpSecurity http, ClientRegistrationRepository clients) throws Exception {
    var signedOut = new OidcClientInitiatedLogoutSuccessHandler(clients);
    signedOut.setPostLogoutRedirectUri("{baseUrl}/bye");
    var logout = PathPatternRequestMatcher.withDefaults().matcher(HttpMethod.GET, "/logout");
    return http.authorizeHttpRequests(all -> all.requestMatchers("/bye").permitAll().anyRequest().authenticated())
        .oauth2Login(withDefaults())
        .oidcLogout(oidc -> oidc.backChannel(withDefaults()))
        .logout(out -> out.logoutRequestMatcher(logout).logoutSuccessHandler(signedOut))
        .build();
  }

  /** It refreshes tokens that are about to expire; here each one is. */
  @Bean
  OAuth2AuthorizedClientManager tokens(ClientRegistrationRepository clients, OAuth2AuthorizedClientRepository kept) {
    var manager = new DefaultOAuth2AuthorizedClientManager(clients, kept);
    manager.setAuthorizedClientProvider(OAuth2AuthorizedClientProviderBuilder.builder()
        .authorizationCode()
        .refreshToken(it -> it.clockSkew(Duration.ofHours(1)))
        .build());
    return manager;
  }

  @Bean
  @Order(1)
  SecurityFilterChain api(HttpSecurity http) throws Exception {
    return http.securityMatcher("/api/**")
        .authorizeHttpRequests(all -> all.anyRequest().hasAuthority("SCOPE_contact:view"))
        .oauth2ResourceServer(server -> server.jwt(jwt -> jwt.decoder(accessTokens())))
        .build();
  }

  /** docs/howto/verify-tokens.md has this, word by word. */
  static JwtDecoder accessTokens() {
    String issuer = System.getenv("ISSUER");
    NimbusJwtDecoder decoder = NimbusJwtDecoder.withIssuerLocation(issuer)
        .jwsAlgorithm(SignatureAlgorithm.ES256)
        .validateType(false)
        .build();
    decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(
        JwtValidators.createAtJwtValidator().issuer(issuer).audience("practice-services")
            .validators(it -> it.put("client_id", new JwtClaimValidator<String>("client_id", Objects::nonNull)))
            .build(),
        new JwtClaimValidator<String>("practice", "maple"::equals),
        new JwtClaimValidator<Object>("cnf", bound -> bound == null)));
    return decoder;
  }

  @GetMapping("/me")
  Map<String, Object> me(@AuthenticationPrincipal OidcUser user) {
    return Map.of("sub", user.getSubject(), "userinfo", user.getUserInfo().getClaims());
  }

  @RestController
  record Refresh(OAuth2AuthorizedClientManager tokens, OAuth2AuthorizedClientRepository kept) {

    @GetMapping("/refresh")
    Map<String, Object> refresh(Authentication who, HttpServletRequest request, HttpServletResponse response) {
      OAuth2AuthorizedClient before = kept.loadAuthorizedClient("authsvc", who, request);
      OAuth2AuthorizedClient after = tokens.authorize(OAuth2AuthorizeRequest.withAuthorizedClient(before)
          .principal(who)
          .attribute(HttpServletRequest.class.getName(), request)
          .attribute(HttpServletResponse.class.getName(), response)
          .build());
      return Map.of("refreshed",
          !after.getAccessToken().getTokenValue().equals(before.getAccessToken().getTokenValue()));
    }
  }

  @GetMapping("/bye")
  Map<String, Object> bye(@AuthenticationPrincipal OidcUser user) {
    return Map.of("bye", user == null);
  }

  @GetMapping("/api/me")
  Map<String, Object> api(@AuthenticationPrincipal Jwt token) {
    return Map.of("patient", token.getClaimAsString("patient"));
  }
}
