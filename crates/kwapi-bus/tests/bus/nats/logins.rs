//! Logging in by keys, at a real server. The keys are of this test alone: 32 bytes that count up; the JWTs were signed with
//! them by Python's `cryptography`, as `nsc` does.

use kwapi_core::Secret;

use super::*;

/// The user's key, secret and public.
const SEED: &str = "SUAHQ6L2PN6H27T7QCAYFA4EQWDIPCEJRKFYZDMOR6IJDEUTSSKZNF4C24";
const USER: &str = "UDYUV4DGJLYOT6PSJ4M6JBNAXCOZWVK2DZBG44DJAVVLKDL63RUFHM4S";
/// Who signs accounts; an account with JetStream, the server's own, and the user, signed by the account.
const OPERATOR: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJvcGVyYXRvciIsImlhdCI6MTc5MDAwMDAwMCwiaXNzIjoiT0I0M0tWUk9SN1RGSjZLQVBDWVJGMkZKUk9UWkFINEZITFRKTFBXWDREUlpDQzVOQVNMR0lUMjUiLCJuYW1lIjoib3BlcmF0b3IiLCJzdWIiOiJPQjQzS1ZST1I3VEZKNktBUENZUkYyRkpST1RaQUg0RkhMVEpMUFdYNERSWkNDNU5BU0xHSVQyNSIsIm5hdHMiOnsidHlwZSI6Im9wZXJhdG9yIiwidmVyc2lvbiI6Mn19.aRpIEmCl1Xr5NQU-i1Kbgn2XNk0VFma4A_-_mBPb_9oskfjd_dUobiYSGSoKMHolsh97W6MtS7DgGj2TCZEkAA";
const ACCOUNT: [&str; 2] = [
    "ACEOI5UVIREUBPB4NIVMN72S5IEPVPV43B6FTVMK2S4TBVQHU5QNDZ6Y",
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJwb3dlciIsImlhdCI6MTc5MDAwMDAwMCwiaXNzIjoiT0I0M0tWUk9SN1RGSjZLQVBDWVJGMkZKUk9UWkFINEZITFRKTFBXWDREUlpDQzVOQVNMR0lUMjUiLCJuYW1lIjoicG93ZXIiLCJzdWIiOiJBQ0VPSTVVVklSRVVCUEI0TklWTU43MlM1SUVQVlBWNDNCNkZUVk1LMlM0VEJWUUhVNVFORFo2WSIsIm5hdHMiOnsidHlwZSI6ImFjY291bnQiLCJsaW1pdHMiOnsic3VicyI6LTEsImRhdGEiOi0xLCJwYXlsb2FkIjotMSwiaW1wb3J0cyI6LTEsImV4cG9ydHMiOi0xLCJ3aWxkY2FyZHMiOnRydWUsImNvbm4iOi0xLCJsZWFmIjotMSwibWVtX3N0b3JhZ2UiOi0xLCJkaXNrX3N0b3JhZ2UiOi0xLCJzdHJlYW1zIjotMSwiY29uc3VtZXIiOi0xfSwidmVyc2lvbiI6Mn19.6grkKgqFhae_5W49tXF_aj438kkDmK9krG-XP2KiLNVZII-Ji-i2zCnvWkXrPkQl9-7gkidJukbWvk4aH_9NBw",
];
const SYSTEM: [&str; 2] = [
    "AA7XOCGV6XGCXRRTWWOSWORO3EXHI6JCBRXQRLPCBC7LZWCYBK4TWMYW",
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJzeXN0ZW0iLCJpYXQiOjE3OTAwMDAwMDAsImlzcyI6Ik9CNDNLVlJPUjdURko2S0FQQ1lSRjJGSlJPVFpBSDRGSExUSkxQV1g0RFJaQ0M1TkFTTEdJVDI1IiwibmFtZSI6InN5c3RlbSIsInN1YiI6IkFBN1hPQ0dWNlhHQ1hSUlRXV09TV09STzNFWEhJNkpDQlJYUVJMUENCQzdMWldDWUJLNFRXTVlXIiwibmF0cyI6eyJ0eXBlIjoiYWNjb3VudCIsImxpbWl0cyI6eyJzdWJzIjotMSwiZGF0YSI6LTEsInBheWxvYWQiOi0xLCJpbXBvcnRzIjotMSwiZXhwb3J0cyI6LTEsIndpbGRjYXJkcyI6dHJ1ZSwiY29ubiI6LTEsImxlYWYiOi0xfSwidmVyc2lvbiI6Mn19.sVd0tH19YLnZhLshcEU7YNT4rZQegPdvOCY56uEqYonAqpjPCCI0Jdz2xUqdoiz7A_KMKfwuTZe8KXNTsQICDg",
];
const USER_JWT: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJzaXRlIiwiaWF0IjoxNzkwMDAwMDAwLCJpc3MiOiJBQ0VPSTVVVklSRVVCUEI0TklWTU43MlM1SUVQVlBWNDNCNkZUVk1LMlM0VEJWUUhVNVFORFo2WSIsIm5hbWUiOiJzaXRlIiwic3ViIjoiVURZVVY0REdKTFlPVDZQU0o0TTZKQk5BWENPWldWSzJEWkJHNDRESkFWVkxLREw2M1JVRkhNNFMiLCJuYXRzIjp7InR5cGUiOiJ1c2VyIiwic3VicyI6LTEsImRhdGEiOi0xLCJwYXlsb2FkIjotMSwidmVyc2lvbiI6Mn19._o02NhQyJYas_fzL0XOpJyL9qivbykMhwxgNngRSsCh_e5c36CiCe8HmWs1fW4slT_zbBPuHuER1bsXWRvdzBg";

#[tokio::test]
async fn a_user_with_an_nkey_is_let_in_by_its_signature() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let nkey = |seed: &str| NatsConfig { nkey: Some(Secret::new(seed)), ..NatsConfig::default() };
    let users = format!("authorization {{ users = [ {{ nkey: {USER} }} ] }}");
    let world = World::without_stream(&users, nkey(SEED));
    world.make_stream().await;
    let publisher = world.publisher();
    publisher.publish(measurement("a", 1));
    stored(&publisher, 1);
    let nobody = EndpointConfig::new(&world.url);
    let refused = NatsSetup::connect(&nobody).await.expect_err("no login").to_string();
    assert!(refused.contains("authentication failed"), "{refused}");
    let unknown = World::without_stream("authorization { token: sesame }", nkey(SEED));
    is_refused(&unknown).await;
}

#[tokio::test]
async fn a_user_with_credentials_is_let_in_by_its_account() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let file = format!(
        "-----BEGIN NATS USER JWT-----\n{USER_JWT}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
    );
    let [[account, account_jwt], [system, system_jwt]] = [ACCOUNT, SYSTEM];
    let server = format!(
        "operator: {OPERATOR}\nsystem_account: {system}\nresolver: MEMORY\n\
         resolver_preload: {{ {account}: {account_jwt}, {system}: {system_jwt} }}"
    );
    let config = NatsConfig { credentials: Some(Secret::new(file)), ..NatsConfig::default() };
    let other = format!(
        "operator: {OPERATOR}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload: {{ {system}: {system_jwt} }}"
    );
    is_refused(&World::without_stream(&other, config.clone())).await;
    let world = World::without_stream(&server, config);
    world.make_stream().await;
    let publisher = world.publisher();
    publisher.publish(measurement("a", 1));
    stored(&publisher, 1);
}

/// The server lets nobody in with this world's login, and no secret is disclosed.
async fn is_refused(world: &World) {
    let refused = NatsSetup::connect(&world.endpoint()).await.expect_err("not let in").to_string();
    assert!(refused.ends_with("authentication failed; check the login in `nats`"), "{refused}");
    let publisher = world.publisher();
    let refusal = wait_until("it is reported", LIMIT, || {
        link(publisher.nats_links()).problem.filter(|problem| !problem.starts_with("not connected"))
    });
    assert_eq!(refusal, "authentication failed; check the login in `nats`");
}

#[tokio::test]
async fn a_token_is_let_in_and_another_is_not() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let token = |token: &str| NatsConfig { token: Some(Secret::new(token)), ..NatsConfig::default() };
    let mut world = World::without_stream("authorization { token: sesame }", token("mustard"));
    is_refused(&world).await;
    world.config = token("sesame");
    world.make_stream().await;
    let publisher = world.publisher();
    publisher.publish(measurement("a", 1));
    stored(&publisher, 1);
}

#[tokio::test]
async fn a_login_that_is_revoked_is_reported_and_another_is_taken_up_without_a_restart() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let login = |user: &str| NatsConfig {
        user: Some(user.to_owned()),
        password: Some(Secret::new("sesame")),
        ..NatsConfig::default()
    };
    let users = |user: &str| format!("authorization {{ users = [ {{ user: {user}, password: sesame }} ] }}");
    let mut world = World::without_stream(&users("old"), login("old"));
    world.make_stream().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let (publisher, history) = (world.publisher(), world.history());
    publisher.publish(measurement("a", 0));
    let (_, acks) = receive(&history, 1).await;
    acks.into_iter().for_each(Ack::confirm);
    let file = world.lab.join("nats.conf");
    let text = std::fs::read_to_string(&file).expect("its configuration");
    world.server.configure(&text.replace(&users("old"), &users("new")));
    world.server.signal(libc::SIGHUP);
    let both: [&dyn Fn() -> Vec<NatsLink>; 2] = [&|| publisher.nats_links(), &|| history.nats_links()];
    for links in both {
        wait_until("the refusal is reported", LIMIT, || {
            link(links())
                .problem
                .filter(|problem| problem == "authentication failed; check the login in `nats`")
        });
    }
    publisher.publish(measurement("a", 1));
    world.config = login("new");
    publisher.let_in(&[world.endpoint()]).expect("a login");
    history.verify_with(&[world.source(Some("centre"))]).expect("a login");
    // The first may come again: it was acknowledged to a connection that has ended.
    let mut numbers = Vec::new();
    while !numbers.contains(&1) {
        numbers.extend(receive(&history, 1).await.0);
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_reported() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let files = Lab::empty();
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    certificate.not_before = rcgen::date_time_ymd(2020, 1, 1);
    certificate.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let certificate = certificate.self_signed(&key).expect("a certificate");
    std::fs::write(files.join("server.pem"), certificate.pem()).expect("room");
    std::fs::write(files.join("server.key"), key.serialize_pem()).expect("room");
    let [certificate, key] = ["server.pem", "server.key"].map(|name| files.join(name).display().to_string());
    let tls = format!("tls {{ cert_file: \"{certificate}\", key_file: \"{key}\" }}");
    let config = NatsConfig { ca: Some(files.join("server.pem")), ..NatsConfig::default() };
    let mut world = World::without_stream(&tls, config);
    world.url = world.url.replace("nats://", "tls://");
    let refused = NatsSetup::connect(&world.endpoint()).await.expect_err("expired").to_string();
    assert!(refused.to_lowercase().contains("expired"), "{refused}");
}
